"""One file from the network: checked, resumed after a break, never left half-written."""

import contextlib
import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from linconn_jax import progress

CONNECT_SECONDS = 10.0
STALL_SECONDS = 20.0
BREAKS = 5
_BREAK = (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_BLOCK = 1 << 18
_WORTH_A_BAR = 1 << 22


def problem(path: Path, size: int, sha256: str) -> str | None:
    """What is wrong with a file, or None when it has this size and digest."""
    found = path.stat().st_size
    if found != size:
        return f"{path} has {found} bytes, it must have {size}"
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return (
        None
        if digest == sha256
        else (f"{path} has sha256 {digest}, it must be {sha256}")
    )


def download(
    url: str, path: Path, *, size: int, sha256: str, silent: bool = False
) -> None:
    """Downloads a file of known content.

    Bytes go to `path` + ".part", which a later call (also of another process, after this
    one was killed) continues where the server allows it; the whole is checked, then
    renamed to `path`.

    Raises:
      ConnectionError: no connection, an HTTP error, or `BREAKS` breaks without a byte.
      ValueError: the content is not what it must be; the part is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    resumed = part.is_file() and part.stat().st_size > 0
    _fetch_all(url, part, size, silent)
    wrong = problem(part, size, sha256)
    if wrong and resumed:  # the part we found may have been of another file
        part.unlink()
        _fetch_all(url, part, size, silent)
        wrong = problem(part, size, sha256)
    if wrong:
        part.unlink()
        raise ValueError(
            f"{url} did not give the official file: {wrong}; try again, or fetch it "
            "elsewhere and give folder=..."
        )
    part.replace(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _fetch_all(url: str, part: Path, size: int, silent: bool) -> None:
    """Continues `part` until it has `size` bytes, over as many breaks as it takes."""
    bar = progress.task(
        f"downloading {url}", size, unit="bytes", quiet=silent or size < _WORTH_A_BAR
    )
    failures = 0
    with bar as task:
        task.skip(_size(part))
        while _size(part) < size:
            before = _size(part)
            # A break shows as an error or as a body that ends early: both count below.
            with contextlib.suppress(http.client.HTTPException, *_BREAK):
                _fetch_some(url, part, size, task)
            failures = 0 if _size(part) > before else failures + 1
            if failures == BREAKS:
                raise ConnectionError(
                    f"{url} broke off {BREAKS} times after {_size(part)} of {size} "
                    "bytes; run again to continue from there"
                )


def _fetch_some(url: str, part: Path, size: int, task: progress.Task) -> None:
    """One request: appends to `part`, or starts it anew if the server cannot resume."""
    start = _size(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    with _open(request) as response:
        content_range = response.headers.get("Content-Range", "")
        resumes = response.status == 206 and content_range.startswith(f"bytes {start}-")
        have = start if resumes else 0
        length = response.headers.get("Content-Length")
        if length is not None and have + int(length) != size:
            raise ValueError(
                f"{url} offers {have + int(length)} bytes, the official file has {size}; "
                "is there a log-in page between? Fetch it elsewhere and give folder=..."
            )
        task.skip(have - start)
        with open(part, "ab" if resumes else "wb") as stream:
            while have < size and (block := response.read1(_BLOCK)):
                stream.write(block[: size - have])
                task.advance(len(block))
                have += len(block)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    """The response, or a `ConnectionError` within `CONNECT_SECONDS`.

    Looking up a host name cannot be given a time limit and may hang for a minute
    without a network, so the attempt runs in a thread that is left behind.
    """

    def attempt() -> http.client.HTTPResponse:
        return urllib.request.urlopen(request, timeout=STALL_SECONDS)

    try:
        return _within(CONNECT_SECONDS, attempt)
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
        raise ConnectionError(f"{request.full_url}: HTTP status {status}") from None
    except http.client.HTTPException:
        raise
    except OSError as error:  # URLError, refused, no such host, timed out
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{request.full_url}: {reason}") from error


def _within(seconds: float, function: Callable[[], http.client.HTTPResponse]):
    """`function()` in a daemon thread, or `TimeoutError` after some seconds."""
    outcome: list = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except (OSError, http.client.HTTPException) as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result
