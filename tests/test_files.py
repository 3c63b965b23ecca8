"""Files that are whole or not there, and units that say when they are damaged."""

import fcntl
import json
import math
import os
import resource

import numpy as np
import pytest

from linconn_jax import files


@pytest.fixture
def small_files():
    """No file may grow beyond 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_written_and_replaced(tmp_path):
    path = tmp_path / "a" / "b.txt"
    for content in (b"one", b"", b"two" * 1000):
        files.write_atomically(path, content)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


def test_readable_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_loses_nothing(tmp_path, small_files):
    path = tmp_path / "rows.json"
    files.write_atomically(path, b"old")
    with pytest.raises(OSError, match=r"rows\.json could not be written .*intact"):
        files.write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_between_writing_and_renaming(tmp_path, monkeypatch):
    path = tmp_path / "rows.json"
    files.write_atomically(path, b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_leaves_is_told_from_what_is_being_written(tmp_path, monkeypatch):
    (tmp_path / ".rows.json.0123abcd").write_bytes(b"left")
    (tmp_path / ".notes.txt").write_bytes(b"somebody's")
    replace = os.replace

    def other_process_starts(source, target):
        files.remove_unfinished(tmp_path)
        replace(source, target)

    monkeypatch.setattr(os, "replace", other_process_starts)
    files.write_atomically(tmp_path / "rows.json", b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".notes.txt", "rows.json"]


def test_a_file_that_is_deleted_before_it_is_locked(tmp_path, monkeypatch):
    flock, locked = fcntl.flock, []

    def late(file, how):
        if not locked:
            locked.append(1)
            files.remove_unfinished(tmp_path)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    files.write_atomically(tmp_path / "rows.json", b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]


def test_units_round_trip(tmp_path):
    key = {"b": (1, 2), "a": "ü", "c": None}
    files.write_unit(tmp_path, key, {"rows": [1.5, float("nan")]})
    (path,) = files.unit_paths(tmp_path)
    assert path == files.unit_path(tmp_path, dict(reversed(key.items())))
    unit = files.read_unit(path)
    assert unit["key"] == {"b": [1, 2], "a": "ü", "c": None}
    assert unit["rows"][0] == 1.5
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_are_not_finite_are_json(tmp_path):
    rows = [{"value": x, "name": "Infinity NaN"} for x in (math.nan, -math.inf, 0.5)]
    key = {"a": "NaN"}
    files.write_unit(tmp_path, key, {"rows": [*rows, [math.inf]]})
    (path,) = files.unit_paths(tmp_path)

    def refuse(word):
        raise AssertionError(word)

    json.loads(path.read_bytes(), parse_constant=refuse)
    unit = files.read_unit(path)
    assert unit["key"] == key
    assert math.isnan(unit["rows"][0].pop("value"))
    assert unit["rows"][1:] == [*rows[1:], [math.inf]]
    bare = b'"rows": [NaN, -Infinity, "x"]}'  # as earlier versions wrote them
    path.write_bytes(files._seal(bare) + bare)
    nan, *others = files.read_sealed(path)["rows"]
    assert math.isnan(nan)
    assert others == [-math.inf, "x"]


def test_keys_that_json_writes_otherwise(tmp_path):
    """Names that are numbers become texts, which sort otherwise; arrays become lists."""
    key = {"map": {2: 1, 10: 2}, "width": np.int64(3)}
    files.write_unit(tmp_path, key, {"rows": [np.float32(0.5)]})
    (path,) = files.unit_paths(tmp_path)
    assert path == files.unit_path(tmp_path, key)
    assert files.read_unit(path)["rows"] == [0.5]
    assert files.read_unit(path)["key"] == {"map": {"2": 1, "10": 2}, "width": 3}


def test_every_flipped_byte_of_a_unit(tmp_path):
    files.write_unit(tmp_path, {"a": 1}, {"rows": [0.25]})
    (path,) = files.unit_paths(tmp_path)
    content = path.read_bytes()
    for at in range(len(content)):
        for mask in (1, 32, 255):
            wrong = bytearray(content)
            wrong[at] ^= mask
            path.write_bytes(wrong)
            with pytest.raises(ValueError, match=f"{path.name} is damaged"):
                files.read_unit(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"{path.name} is damaged"):
            files.read_unit(path)


def test_digests_tell_keys_apart():
    keys = [{}, {"a": 1}, {"a": 1.5}, {"a": "1"}, {"b": 1}, {"a": [1]}, {"a": None}]
    assert len({files.digest(key) for key in keys}) == len(keys)
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
