"""Files written by torch itself, hostile and damaged ones, and safetensors both ways."""

import json
import pickle
import struct
import tracemalloc
import zipfile
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from linconn_jax import interchange
from linconn_jax.interchange import pth, unpickle

DATA = Path(__file__).parent / "data"
TORCH_FILES = (
    "net.pth",
    "net_legacy.pth",
    "checkpoint.pth.tar",
    "dtypes.pth",
    "dtypes_legacy.pth",
    "views.pth",
    "views_legacy.pth",
)


def expected(name):
    """What torch said that it wrote (see tests/data/make_torch.py)."""
    with np.load(DATA / f"{name.split('.')[0]}.npz") as file:
        about = json.loads(str(file["about"]))
        return {
            key: file[key].view(getattr(ml_dtypes, kind, kind)).reshape(shape)
            for key, (kind, shape) in about.items()
        }


def assert_same(arrays, others):
    """Names in order, dtypes, shapes and bytes."""
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        other = np.asarray(others[name])
        assert array.dtype == other.dtype, name
        assert array.shape == other.shape, name
        assert array.tobytes() == other.tobytes(), name


# Files of torch.


@pytest.mark.parametrize("name", TORCH_FILES)
def test_files_of_torch_are_read_exactly(name):
    assert_same(interchange.load(DATA / name), expected(name))


@pytest.mark.parametrize("name", ["views.pth", "views_legacy.pth"])
def test_tied_tensors_share_memory(name):
    arrays = interchange.load(DATA / name)
    assert np.shares_memory(arrays["tied_1"], arrays["tied_2"])
    assert not np.shares_memory(arrays["tied_1"], arrays["channels_last"])


def test_under_selects_and_strips():
    inside = interchange.load(DATA / "checkpoint.pth.tar", under="state_dict")
    assert list(inside) == list(interchange.load(DATA / "net.pth"))
    momenta = interchange.load(DATA / "checkpoint.pth.tar", under="optimizer.state")
    assert "0.momentum_buffer" in momenta
    with pytest.raises(ValueError, match=r"nothing under 'model'.*'optimizer', 'state"):
        interchange.load(DATA / "checkpoint.pth.tar", under="model")


def test_a_whole_module_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"names torch.nn.modules.linear.Linear, which"
    ):
        interchange.load(DATA / "module.pth")


# Hostile files, assembled opcode by opcode.


class Global(namedtuple("Global", "module name")):
    """A function or class named by a pickle."""


class Call(namedtuple("Call", "function arguments")):
    """Its call."""


class Stored(namedtuple("Stored", "identifier")):
    """A storage, by its persistent identifier."""


def opcodes(value):
    """A value as pickle opcodes."""
    match value:
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            return opcodes(value.function) + opcodes(value.arguments) + b"R"
        case Stored():
            return opcodes(value.identifier) + b"Q"
        case None:
            return b"N"
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"X" + struct.pack("<I", len(value)) + value.encode()
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case dict():
            items = b"".join(opcodes(k) + opcodes(v) for k, v in value.items())
            return b"}(" + items + b"u"
    raise TypeError(value)


def storage(count=6, kind="FloatStorage", key="0"):
    return Stored(("storage", Global("torch", kind), key, "cpu", count))


def tensor(offset=0, shape=(2, 3), strides=(3, 1), stored=None, function="v2"):
    rebuild = Global("torch._utils", f"_rebuild_tensor_{function}")
    stored = storage() if stored is None else stored
    return Call(rebuild, (stored, offset, shape, strides, None, None))


def write_zip(path, content, *, stored=24, byteorder=b"little"):
    """A file in the form of torch.save around one pickle; 6 float32 in storage 0."""
    code = content if isinstance(content, bytes) else opcodes(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + code + b".")
        archive.writestr("archive/byteorder", byteorder)
        values = np.arange(6, dtype=np.float32).tobytes()
        archive.writestr("archive/data/0", (values * 2)[:stored])
    return path


def write_legacy(path, content, *, count=6, version=1001, little=True):
    code = content if isinstance(content, bytes) else opcodes(content)
    start = [0x1950A86A20F9469CFC6C, version, {"little_endian": little}]
    code = b"\x80\x02" + code + b"." + pickle.dumps(["0"])
    values = struct.pack("<q", count) + np.arange(6, dtype=np.float32).tobytes()
    path.write_bytes(b"".join(map(pickle.dumps, start)) + code + values)
    return path


def built(state):
    """A `Parameter` as old torch wrote it: made empty or of a tensor, then set."""
    made = opcodes(Global("torch.nn.parameter", "Parameter"))
    return made + opcodes(()) + b"\x81" + opcodes(state) + b"b"


WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])


@WRITERS
def test_the_assembler_makes_what_is_read(tmp_path, write):
    arrays = interchange.load(write(tmp_path / "a.pth", {"a": tensor()}))
    assert_same(arrays, {"a": np.arange(6, dtype=np.float32).reshape(2, 3)})


@WRITERS
def test_parameters_of_old_torch_are_their_tensors(tmp_path, write):
    """Forms that `torch.load(..., weights_only=True)` reads to the same values."""
    parameter = Global("torch.nn.parameter", "Parameter")
    made = opcodes(parameter) + opcodes((tensor(), 1)) + b"\x81"
    called = opcodes(Call(parameter, (tensor(), 1)))
    state = built((tensor(), None, None, 1, 0))
    pairs = {"made": made, "called": called, "state": state}
    code = b"".join(opcodes(name) + value for name, value in pairs.items())
    arrays = interchange.load(write(tmp_path / "old.pth", b"}(" + code + b"u"))
    expected = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_same(arrays, dict.fromkeys(pairs, expected))


@WRITERS
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_qtensor"),
        ("collections", "defaultdict"),
        ("numpy", "core"),
    ],
)
def test_a_pickle_that_calls_anything_else_is_refused(tmp_path, write, module, name):
    bomb = tmp_path / "bomb"
    call = Call(Global(module, name), (f"touch {bomb}",))
    path = write(tmp_path / "evil.pth", {"a": tensor(), "b": call})
    with pytest.raises(ValueError, match=rf"evil.pth.*names {module}\.{name}, which"):
        interchange.load(path)
    assert not bomb.exists()


@WRITERS
def test_a_real_exploit_does_not_run(tmp_path, write):
    class Exploit:
        def __reduce__(self):
            return bomb.touch, ()

    bomb = tmp_path / "bomb"
    code = pickle.dumps({"a": Exploit()}, protocol=4)
    pickle.loads(code)
    assert bomb.exists(), "the exploit works where pickles are trusted"
    bomb.unlink()
    path = tmp_path / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", code)
    if write is write_legacy:
        path.write_bytes(code)
    with pytest.raises(ValueError, match=r"names builtins\.getattr"):
        interchange.load(path)
    assert not bomb.exists()


def test_attributes_that_a_pickle_sets_do_not_outlive_it(tmp_path):
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    for attribute in ("__defaults__", "_function", "__call__"):
        # (None, {attribute: 3}) as the state of the function: setattr for slots.
        tampered = opcodes(rebuild) + opcodes((None, {attribute: 3})) + b"b"
        path = write_zip(
            tmp_path / "tamper.pth", opcodes({"a": 1})[:-1] + b"u" + tampered
        )
        with pytest.raises(ValueError, match="no tensors|truncated, damaged"):
            interchange.load(path)
    assert not {"_function", "__call__"} & vars(unpickle._tensor).keys()
    path = write_zip(tmp_path / "good.pth", {"a": tensor()})
    assert interchange.load(path)["a"][1, 2] == 5


@pytest.mark.parametrize(
    "wrong",
    [
        tensor(offset=1),
        tensor(offset=-1),
        tensor(shape=(3, 3)),
        tensor(strides=(4, 1)),
        tensor(strides=(-3, 1)),
        tensor(shape=(2,)),
        tensor(shape=(2**30, 2**30), strides=(2**30, 2**30)),
        tensor(shape=("2", "3")),
        tensor(stored=3),
        tensor(stored=storage(count=7)),
        tensor(stored=storage(key="1")),
        tensor(stored=storage(kind="UntypedStorage")),
        tensor(stored=Stored(("module", "x"))),
        tensor(stored=Stored((*storage().identifier, ("view", 0, 6)))),
        tensor(stored=Stored(("storage", "list", "0", "cpu", 6))),
        tensor(function="v3"),
        Stored("0"),
    ],
    ids=str,
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, wrong):
    path = write_zip(tmp_path / "wrong.pth", {"a": wrong, "b": tensor()})
    with pytest.raises(
        ValueError, match=r"wrong.pth cannot be read as a file of torch"
    ):
        interchange.load(path)


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ({"a": tensor()}, {"stored": 20}, "has 20 bytes, not 24"),
        ({"a": tensor()}, {"byteorder": b"big"}, "big-endian"),
        ({"a": 1, "b": None}, {}, "holds no tensors"),
        (
            {"a.b": tensor(), "a": {"b": tensor()}},
            {},
            "two tensors have the name 'a.b'",
        ),
    ],
)
def test_what_else_is_wrong_with_a_file_is_said(tmp_path, content, options, match):
    path = write_zip(tmp_path / "wrong.pth", content, **options)
    with pytest.raises(ValueError, match=match):
        interchange.load(path)


@WRITERS
def test_a_pickle_cannot_ask_for_a_huge_memo(tmp_path, write):
    kept = b"}r" + struct.pack("<I", 10**6) + opcodes({"a": tensor()})[1:]
    tracemalloc.start()
    with pytest.raises(ValueError, match="at place 1000000 of its memo"):
        interchange.load(write(tmp_path / "memo.pth", kept))
    assert tracemalloc.get_traced_memory()[1] < 8 * 10**6
    tracemalloc.stop()


@WRITERS
def test_lists_of_one_list_are_not_followed_for_ever(tmp_path, write, monkeypatch):
    def level(inside):
        """A list that holds the list at one place of the memo ten times."""
        ten = (b"h" + bytes([inside])) * 10
        return b"(" + ten + b"lq" + bytes([inside + 1]) + b"0"

    levels = b"]q\x000" + b"".join(map(level, range(30)))
    code = levels + b"}(" + opcodes("x") + b"h\x1e" + opcodes("a") + opcodes(tensor())
    path = write(tmp_path / "many.pth", code + b"u")
    monkeypatch.setattr(pth, "MOST", 10**4)
    with pytest.raises(ValueError, match="hold more than 10000 values"):
        interchange.load(path)


@pytest.mark.parametrize("flag", ["conj", "neg"])
def test_values_that_torch_would_still_have_to_change_are_refused(tmp_path, flag):
    """torch keeps a conjugate or negative as a flag beside the old values."""
    function, arguments = tensor()
    lazy = Call(function, (*arguments, {flag: 1}))
    with pytest.raises(ValueError, match="lazy conjugate or negative"):
        interchange.load(write_zip(tmp_path / "lazy.pth", {"a": lazy}))


def test_what_is_wrong_with_an_older_file_is_said(tmp_path):
    path = write_legacy(tmp_path / "a.pth", {"a": tensor()}, version=1002)
    with pytest.raises(ValueError, match="its version is 1002, not 1001"):
        interchange.load(path)
    path = write_legacy(tmp_path / "a.pth", {"a": tensor()}, little=False)
    with pytest.raises(ValueError, match="big-endian"):
        interchange.load(path)


def test_an_archive_of_two_pickles_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pth", {"a": tensor()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02}.")
    with pytest.raises(ValueError, match="one data.pkl, and holds"):
        interchange.load(path)


@WRITERS
def test_a_dict_cannot_hide_what_it_holds(tmp_path, write):
    """A pickle can set `items` on an OrderedDict, as torch sets `_metadata`."""
    function = Global("collections", "OrderedDict")
    code = opcodes(Call(function, ())) + opcodes({"a": tensor()})[1:]
    code += opcodes({"items": Global("torch", "Size")}) + b"b"
    assert list(interchange.load(write(tmp_path / "a.pth", code))) == ["a"]


def test_a_compressed_archive_is_refused(tmp_path):
    write_zip(tmp_path / "a.pth", {"a": tensor()})
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(ValueError, match=r"b\.pth.*compressed.*zip -0"):
        interchange.load(tmp_path / "b.pth")


def test_a_legacy_storage_of_another_length_is_refused(tmp_path):
    path = write_legacy(tmp_path / "short.pth", {"a": tensor()}, count=5)
    with pytest.raises(ValueError, match="'0' has 5 elements, not as announced"):
        interchange.load(path)
    longer = {"a": tensor(stored=storage(count=7))}
    with pytest.raises(ValueError, match="ends 4 bytes early"):
        interchange.load(write_legacy(path, longer, count=7))


@pytest.mark.parametrize("name", ["net.pth", "net_legacy.pth", "net.safetensors"])
def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path, name):
    if name == "net.safetensors":
        interchange.save(tmp_path / name, interchange.load(DATA / "net.pth"))
        whole = (tmp_path / name).read_bytes()
    else:
        whole = (DATA / name).read_bytes()
    path = tmp_path / name
    for length in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net.*truncated, damaged"):
            interchange.load(path)


@pytest.mark.parametrize("name", ["net.pth", "net_legacy.pth"])
def test_damage_raises_a_value_error_or_nothing(tmp_path, name):
    whole = np.frombuffer((DATA / name).read_bytes(), np.uint8)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
        (tmp_path / name).write_bytes(damaged.tobytes())
        try:
            interchange.load(tmp_path / name)
        except ValueError:
            refused += 1
    assert refused > 20


def test_the_suffix_decides_and_must_be_right(tmp_path):
    with pytest.raises(ValueError, match=r"suffix '.npz'; it must be one of .*'.pth'"):
        interchange.load(tmp_path / "net.npz")
    with pytest.raises(FileNotFoundError):
        interchange.load(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError):
        interchange.load(tmp_path / "none.safetensors")
    (tmp_path / "net.safetensors").write_bytes((DATA / "net.pth").read_bytes())
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        interchange.load(tmp_path / "net.safetensors")
    interchange.save(tmp_path / "a.safetensors", {"a": np.ones(3)})
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="cannot be read as a file of torch.save"):
        interchange.load(tmp_path / "a.pth")


# Safetensors.

Pair = namedtuple("Pair", "first second")
_TIED = jnp.arange(4.0)


def tree():
    """Leaves of every awkward kind."""
    return {
        "params": {
            "bf16": jnp.asarray([[1.5, -2]], jnp.bfloat16),
            "fp8": jnp.asarray([0.5, 2], jnp.float8_e4m3fn),
            "half": np.float16([1, 2]),
            "scalar": jnp.asarray(3),
            "number": np.float32(2.5),
            "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
            "strided": np.arange(10)[::-3],
            "big": np.arange(3, dtype=">f4"),
            "empty": np.zeros((0, 3), np.uint8),
            "mask": jnp.asarray([True, False]),
            "tied": _TIED,
        },
        "list": [Pair(_TIED, np.complex64([1j])), Pair(np.int8([1]), np.uint16([2]))],
    }


def test_any_tree_makes_the_round_trip(tmp_path):
    path = tmp_path / "tree.safetensors"
    interchange.save(path, tree(), metadata={"step": "12", "é": "ü\n"})
    arrays = interchange.load(path)
    assert arrays["params/transposed"].shape == (3, 2)
    assert arrays["list/0/first"].tolist() == arrays["params/tied"].tolist()
    assert interchange.metadata(path) == {"step": "12", "é": "ü\n"}
    again = interchange.restore(arrays, tree())
    assert jax.tree.structure(again) == jax.tree.structure(tree())
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(tree()), strict=True):
        assert a.dtype == np.asarray(b).dtype.newbyteorder("=")
        assert a.shape == np.shape(b)
        assert np.array_equal(a, np.asarray(b))


def test_a_flat_dict_keeps_its_names_and_nests_again(tmp_path):
    state = interchange.load(DATA / "net.pth")
    interchange.save(tmp_path / "net.safetensors", state)
    again = interchange.load(tmp_path / "net.safetensors")
    assert_same(again, {name: state[name] for name in sorted(state)})
    assert interchange.metadata(tmp_path / "net.safetensors") == {}
    params = tree()["params"]
    interchange.save(tmp_path / "tree.safetensors", {"params": params})
    nested = interchange.nest(interchange.load(tmp_path / "tree.safetensors"))
    assert nested.keys() == {"params"}
    assert nested["params"].keys() == params.keys()


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
def test_names_that_cannot_nest_are_refused(names):
    with pytest.raises(ValueError, match="lies inside another|also holds others"):
        interchange.nest(dict.fromkeys(names, np.ones(2)))


def test_a_stacked_and_sharded_tree_is_gathered(tmp_path):
    mesh = jax.make_mesh((4,), ("seed",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    spread = jax.device_put(rows, jax.NamedSharding(mesh, jax.P("seed")))
    interchange.save(tmp_path / "a.safetensors", {"a": spread})
    assert_same(interchange.load(tmp_path / "a.safetensors"), {"a": rows})


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"a": np.array(["text"])}, "'a' has dtype <U4, which safetensors cannot hold"),
        ({"a": np.complex128(1)}, "'a' has dtype complex128"),
        ({"a": {"b": object()}}, "'a/b' has dtype object"),
        ({"a": jax.random.key(0)}, "'a' is no array"),
        ({"a": np.ma.masked_equal([1.0, 0], 0)}, r"masked array.*filled\(value\)"),
        ({"a/b": np.ones(1), "a": {"b": np.ones(1)}}, "two leaves have the name 'a/b'"),
        ({"__metadata__": np.ones(1)}, "a leaf is named '__metadata__'"),
    ],
)
def test_leaves_that_cannot_be_saved_leave_the_old_file(tmp_path, bad, match):
    path = tmp_path / "a.safetensors"
    interchange.save(path, {"a": np.ones(1)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=match):
        interchange.save(path, bad)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    interchange.save(path, {"a": np.ones(1)})
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        interchange.save(path, {"a": np.zeros(9)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    path = tmp_path / "a.safetensors"
    interchange.save(path, {"a": np.ones(1)})
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_save_refuses_other_suffixes_and_metadata(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        interchange.save(tmp_path / "a.pth", {"a": np.ones(1)})
    with pytest.raises(ValueError, match=r"metadata=.*must be strings"):
        interchange.save(tmp_path / "a.safetensors", {}, metadata={"step": 1})


def test_restore_lists_all_that_does_not_fit():
    arrays = {"a": np.ones(2), "b": np.ones(2)}
    like = {"a": jax.ShapeDtypeStruct((3,), np.float32), "c": np.ones(2)}
    with pytest.raises(ValueError, match="do not fit the tree") as error:
        interchange.restore(arrays, like)
    text = str(error.value)
    assert "nothing fills: ['c']" in text
    assert "no leaf for: ['b']" in text
    assert "a has shape (2,), not (3,)" in text


def test_safetensors_are_those_of_the_library(tmp_path):
    from safetensors.numpy import load_file

    interchange.save(tmp_path / "a.safetensors", {"a": np.arange(6.0).reshape(2, 3).T})
    theirs = load_file(tmp_path / "a.safetensors")["a"]
    assert np.array_equal(theirs, np.arange(6.0).reshape(2, 3).T)


@pytest.mark.parametrize("kinds", [("F32", "F32"), ("F32", "I32")])
def test_a_header_with_one_name_twice_is_refused(tmp_path, kinds):
    tensors = (
        f'"a": {{"dtype": "{kind}", "shape": [2], "data_offsets": [0, 8]}}'
        for kind in kinds
    )
    header = f"{{{', '.join(tensors)}}}".encode()
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ValueError, match=r"header has \['a'\] more than once"):
        interchange.load(path)


def test_folders_are_made(tmp_path):
    interchange.save(tmp_path / "new" / "a.safetensors", {"a": np.ones(1)})
    assert interchange.load(tmp_path / "new" / "a.safetensors")["a"] == 1
