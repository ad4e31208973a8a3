"""Hostile servers: too much, too slow, too deep, and other than announced."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socketserver
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from _disturb import scratch

from mfvae.data import retina

__all__ = ["BEHAVIOURS", "downloads"]

NAME, CONTENT = retina.FILE_NAME, bytes(range(256)) * 400
OK = b"HTTP/1.1 200 OK\r\n"


def zipped(**members: tuple[str, int]) -> bytes:
    """Return an archive; each member is given by its path and a number of zero bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, size in members.values():
            with archive.open(path, "w") as stream:
                for _ in range(0, size, 2**20):
                    stream.write(bytes(min(size, 2**20)))
    return buffer.getvalue()


def whole(body: bytes, head: bytes = b"") -> Callable[[Any], None]:
    return lambda send: send(OK + head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def endless(block: bytes, head: bytes = OK + b"\r\n", pause: float = 0.0) -> Callable[[Any], None]:
    def answer(send: Callable[[bytes], None]) -> None:
        send(head)
        while True:
            send(block)
            time.sleep(pause)

    return answer


def page(*links: str) -> Callable[[Any], None]:
    return whole("".join(f'<a href="{link}">x</a>' for link in links).encode())


BOMB = zipped(a=(f"x/{NAME}", 100 * 2**20))
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BEHAVIOURS: dict[str, Callable[[Any], None]] = {
    "body without end": endless(bytes(2**20)),
    "body without end, length announced": endless(
        bytes(2**20), OK + b"Content-Length: 1336936000000\r\n\r\n"
    ),
    "chunks without end": endless(b"100000\r\n" + bytes(2**20) + b"\r\n", CHUNKED),
    "a byte at a time": endless(b"x", pause=0.05),
    "a byte a minute": endless(b"x", pause=60.0),
    "head without end": endless(b"X-More: more\r\n", OK),
    "head a byte at a time": endless(b"x", OK + b"X-More: ", pause=0.05),
    "status line a byte at a time": endless(b"9", b"HTTP/1.1 ", pause=0.05),
    "no answer": lambda send: time.sleep(30),
    "no answer at all": lambda send: None,
    "not HTTP": lambda send: send(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "redirects in a circle": lambda send: send(
        b"HTTP/1.1 302 Found\r\nLocation: /redirects in a circle\r\nContent-Length: 0\r\n\r\n"
    ),
    "redirect to a file": lambda send: send(
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
    ),
    "redirect without end": lambda send: send(
        b"HTTP/1.1 302 Found\r\nLocation: /body%20without%20end\r\nContent-Length: 0\r\n\r\n"
    ),
    "cut short": lambda send: send(OK + b"Content-Length: 9999\r\n\r\n" + CONTENT[:999]),
    "negative length": lambda send: send(OK + b"Content-Length: -5\r\n\r\n" + CONTENT[1:]),
    "two lengths": lambda send: send(
        OK + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n" + CONTENT
    ),
    "bad chunks": lambda send: send(CHUNKED + b"zz\r\nabc\r\n"),
    "packed in transit": whole(BOMB, b"Content-Encoding: gzip\r\n"),
    "zip that unpacks to 100 MB": whole(BOMB),
    "zip with 10,000 members": whole(zipped(**{str(n): (f"{n}/{NAME}", 0) for n in range(10_000)})),
    "zip that climbs": whole(zipped(a=(f"../../../{NAME}", 10), b=("/etc/mfvae", 10))),
    "zip without the file": whole(zipped(a=("readme", 10))),
    "zip cut short": whole(BOMB[: len(BOMB) // 2]),
    "zip with a flipped byte": whole(BOMB[:60] + b"\xff" + BOMB[61:]),
    "zip of nothing": whole(b"PK\x05\x06" + bytes(18)),
    "page that links to itself": page(f"/page that links to itself?{NAME}"),
    "page that links to a file": page(f"file:///etc/{NAME}"),
    "page that links without end": page(f"/body without end?{NAME}"),
    "page of 4 MB of links": page(*[f"/{n}" for n in range(200_000)]),
    "page of 4 MB of quotes": whole(b"href='" * 700_000),
    "page with a bad link": page(f"http://[::1/{NAME}"),
    "page in another alphabet": whole(b'<a href="\xff\xfe' + NAME.encode() + b'">'),
    "wrong content": whole(CONTENT[:-1] + b"x"),
    "404": lambda send: send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    "500 without end": endless(bytes(2**16), b"HTTP/1.1 500 Oh\r\n\r\n"),
    "204": lambda send: send(b"HTTP/1.1 204 No Content\r\n\r\n"),
}
GOOD = {"the file": whole(CONTENT)}


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline(4096).decode(errors="replace")
        target = line.split(" HTTP")[0].removeprefix("GET /").replace("%20", " ").split("?")[0]
        while self.rfile.readline(4096).strip():
            pass
        with contextlib.suppress(OSError):
            answer = (BEHAVIOURS | GOOD).get(target, BEHAVIOURS["404"])
            answer(self.connection.sendall)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 32


def size_of(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for file in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += file.stat().st_size
    return total


def downloads(names: list[str], timeout: float = 2.0) -> dict[str, Any]:
    """Download from each server: an OSError in time, with little written and nothing kept."""
    figures = dict.fromkeys(("trials", "refused", "too long", "too much", "kept", "wrong"), 0)
    most, longest, examples = 0, 0.0, []
    environment = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with (
        Server(("127.0.0.1", 0), Handler) as server,
        mock.patch.object(retina, "FILE_SHA256", hashlib.sha256(CONTENT).hexdigest()),
        mock.patch.object(retina, "FILE_BYTES", len(CONTENT)),
        mock.patch.dict(os.environ, environment),
        scratch() as parent,
    ):
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for number, name in enumerate([*names, *GOOD]):
            folder, done = parent / str(number), threading.Event()
            sizes = [0]

            def watch(folder: Path = folder, done=done, sizes: list[int] = sizes) -> None:
                while not done.wait(0.02):
                    sizes[0] = max(sizes[0], size_of(folder))

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            url = f"http://127.0.0.1:{server.server_address[1]}/{name.replace(' ', '%20')}"
            started, told, right = time.monotonic(), "", False
            try:
                path = retina.download_retina(url, folder, timeout=timeout)
                right = name in GOOD and path.read_bytes() == CONTENT
                figures["kept"] += name not in GOOD
            except OSError as error:
                right, told = "nothing was kept" in str(error) and name not in GOOD, str(error)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - started
            done.set()
            watcher.join()
            most, longest = max(most, sizes[0]), max(longest, seconds)
            left = [f for f in folder.iterdir() if name not in GOOD]
            figures["trials"] += name not in GOOD
            figures["refused"] += right and name not in GOOD
            figures["too long"] += seconds > timeout + 2.0
            figures["too much"] += sizes[0] > 64e6
            if not right or left:
                figures["wrong"] += 1
                examples.append(f"{name}: {told[:300]} {left}")
        server.shutdown()
    found = {"largest MB": round(most / 1e6, 1), "longest s": round(longest, 1)}
    return figures | found | {"limit s": timeout, "examples": examples[:3]}
