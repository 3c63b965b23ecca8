"""Downloads against a local server that behaves, breaks off, lies, or is not there."""

import hashlib
import http.server
import threading
import time
import urllib.request

import pytest

from linconn_jax.data import archives, download

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; what it does wrong is set by the test."""

    daemon_threads = True
    ranges = True  # understands Range
    breaks = 0  # how many answers to cut after `sends` bytes
    sends = 300_000
    alternate = False  # every other cut answer is empty
    body = CONTENT
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        start = int(wanted[len("bytes=") : -1]) if wanted and server.ranges else 0
        body = server.body[start:]
        self.send_response(206 if start else server.status)
        self.send_header("Content-Length", str(len(body)))
        if start:
            whole = len(server.body)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            empty = server.alternate and server.breaks % 2
            body = body[: 0 if empty else server.sends]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    path = tmp_path / "downloads" / "file.bin"

    def run(**changes):
        expected = {"size": len(CONTENT), "sha256": SHA256} | changes
        url = f"http://127.0.0.1:{server.server_port}/file.bin"
        download.download(url, path, silent=True, **expected)
        return path

    return run


def test_plain_download(fetch, server):
    assert fetch().read_bytes() == CONTENT
    assert server.asked == [None]
    assert not list(fetch().parent.glob("*.part"))


def test_broken_download_goes_on_where_it_was(fetch, server):
    server.breaks = 3
    assert fetch().read_bytes() == CONTENT
    assert server.asked == [None, *(f"bytes={k * 300_000}-" for k in (1, 2, 3))]


def test_any_number_of_breaks_is_survived_while_bytes_come(fetch, server):
    server.breaks, server.sends = 4 * download.BREAKS, 90_000
    server.alternate = True
    assert fetch().read_bytes() == CONTENT


def test_part_of_a_killed_process_is_continued(fetch, server, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch().read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_part_of_another_file_is_started_anew(fetch, server, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "file.bin.part").write_bytes(b"x" * 1000)
    assert fetch().read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", None]


def test_part_longer_than_the_file_is_started_anew(fetch, server, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "file.bin.part").write_bytes(CONTENT + b"x")
    assert fetch().read_bytes() == CONTENT
    assert server.asked == [None]


def test_server_without_ranges_restarts_cleanly(fetch, server):
    server.ranges, server.breaks = False, 1
    assert fetch().read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_server_that_always_breaks_off_keeps_the_part(fetch, server):
    server.breaks, server.sends = 100, 0
    with pytest.raises(ConnectionError, match="broke off 5 times after 0 of"):
        fetch()
    assert len(server.asked) == download.BREAKS
    server.breaks, server.sends = 1, 700_000
    server.asked.clear()
    assert fetch().read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(fetch, server, tmp_path):
    server.body = CONTENT[:-1] + b"?"
    with pytest.raises(ValueError, match="did not give the official file.*sha256"):
        fetch()
    assert not list((tmp_path / "downloads").iterdir())


def test_log_in_page_is_refused_at_once(fetch, server, tmp_path):
    server.body = b"<html>please log in</html>"
    with pytest.raises(ValueError, match="offers 26 bytes"):
        fetch()
    assert server.asked == [None]
    assert not list((tmp_path / "downloads").iterdir())


def test_http_error_is_named(fetch, server):
    server.status = 404
    with pytest.raises(ConnectionError, match="HTTP status 404"):
        fetch()
    assert server.asked == [None]


def test_nobody_listens(tmp_path):
    with pytest.raises(ConnectionError, match="refused"):
        download.download("http://127.0.0.1:9/x", tmp_path / "x", size=1, sha256="")
    assert not list(tmp_path.iterdir())


def test_name_look_up_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.1)
    hang = threading.Event()

    def urlopen(*args, **options):
        hang.wait(30)
        raise OSError("late")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="no answer within 0.1 s"):
        download.download("http://nowhere/x", tmp_path / "x", size=1, sha256="")
    assert time.monotonic() - began < 5
    hang.set()


def test_checked_files_are_not_downloaded_again(fetch, server, tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{server.server_port}/file.bin"
    archive = archives.Archive(url, len(CONTENT), SHA256)
    monkeypatch.setattr(archives, "official", lambda name: (archive,))
    paths = archives.from_network("x", tmp_path, silent=True)
    assert paths == {"file.bin": tmp_path / "x" / "file.bin"}
    archives.from_network("x", tmp_path, silent=True)
    assert len(server.asked) == 1
    paths["file.bin"].write_bytes(CONTENT[:-1] + b"?")
    archives.from_network("x", tmp_path, silent=True)
    assert len(server.asked) == 2
    assert paths["file.bin"].read_bytes() == CONTENT
