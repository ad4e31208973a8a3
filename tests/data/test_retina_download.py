"""Download from a local server: right, wrong, cut short, missing, down; nothing half-written."""

import contextlib
import functools
import hashlib
import http.server
import io
import socket
import threading
import zipfile

import pytest

from mfvae.data import download_retina
from mfvae.data import retina as module

CONTENT = bytes(range(256)) * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, pages, log, *arguments):
        self.pages, self.log = pages, log
        super().__init__(*arguments)

    def do_GET(self):
        self.log.append(self.path)
        if self.path not in self.pages:
            self.send_error(404)
            return
        body, length = self.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(pages):
    pages = {k: v if isinstance(v, tuple) else (v, len(v)) for k, v in pages.items()}
    log = []
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, pages, log)
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", log
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def small_file(monkeypatch):
    """Let a small file of our own stand for the recording."""
    monkeypatch.setattr(module, "FILE_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(module, "FILE_BYTES", len(CONTENT))
    monkeypatch.delenv("MFVAE_RETINA_URL", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def nothing_left(folder):
    return not folder.exists() or not any(folder.iterdir())


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
        archive.writestr("some/folder/bint_fishmovie32_100.mat", CONTENT)
    return buffer.getvalue()


PAGE = b'<html><a href="/get/1/IST-v1_bint_fishmovie32_100.mat?a=1&amp;b=2">file</a></html>'


@pytest.mark.parametrize(
    "pages",
    [
        {"/file": CONTENT},
        {"/file": zipped()},
        {"/file": PAGE, "/get/1/IST-v1_bint_fishmovie32_100.mat?a=1&b=2": CONTENT},
        {
            "/file": PAGE.replace(b"?a=1&amp;b=2", b""),
            "/get/1/IST-v1_bint_fishmovie32_100.mat": zipped(),
        },
    ],
    ids=["file", "zip", "page", "page-to-zip"],
)
def test_download(pages, tmp_path):
    with serve(pages) as (address, log):
        path = download_retina(f"{address}/file", tmp_path / "cache")
        assert path == tmp_path / "cache" / "bint_fishmovie32_100.mat"
        assert path.read_bytes() == CONTENT
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        requests = len(log)
        download_retina(f"{address}/file", tmp_path / "cache")
        assert len(log) == requests  # already there: not fetched again


def test_wrong_checksum(tmp_path):
    wrong = CONTENT[:-1] + b"x"
    with (
        serve({"/file": wrong}) as (address, _),
        pytest.raises(OSError, match="wrong checksum") as caught,
    ):
        download_retina(f"{address}/file", tmp_path)
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert "/file" in str(caught.value)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("declared", [len(CONTENT), len(CONTENT) - 1000])
def test_truncated(declared, tmp_path):
    """Cut short on the way (length declared), or short at the source (checksum)."""
    with (
        serve({"/file": (CONTENT[:-1000], declared)}) as (address, _),
        pytest.raises(OSError, match=r"/file: .*(IncompleteRead|wrong checksum)"),
    ):
        download_retina(f"{address}/file", tmp_path)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("body", [b"PK\x03\x04 broken zip", b"<html>no link</html>", b""])
def test_something_else(body, tmp_path):
    with serve({"/file": body}) as (address, _), pytest.raises(OSError, match="nothing was kept"):
        download_retina(f"{address}/file", tmp_path)
    assert nothing_left(tmp_path)


def test_server_down(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(OSError, match="ConnectionError") as caught:
        download_retina(f"http://127.0.0.1:{port}/file", tmp_path)
    assert "MFVAE_DATA" in str(caught.value)  # says what to do instead
    assert nothing_left(tmp_path)


def test_a_failed_download_leaves_the_old_file(tmp_path):
    old = tmp_path / "bint_fishmovie32_100.mat"
    old.write_bytes(b"an older, wrong file")
    with serve({}) as (address, _), pytest.raises(OSError, match="404"):
        download_retina(f"{address}/file", tmp_path)
    assert old.read_bytes() == b"an older, wrong file"
    with serve({"/file": CONTENT}) as (address, _):
        download_retina(f"{address}/file", tmp_path)
    assert old.read_bytes() == CONTENT


def test_addresses_are_tried_in_turn_and_from_the_environment(tmp_path, monkeypatch):
    with serve({"/bad": b"wrong", "/good": CONTENT}) as (address, log):
        monkeypatch.setenv("MFVAE_RETINA_URL", f"{address}/gone {address}/bad {address}/good")
        path = download_retina(folder=tmp_path)
        assert log == ["/gone", "/bad", "/good"]
    assert path.read_bytes() == CONTENT
