"""Serving the pages of runs to a browser on this machine, and to nobody else.

The server listens on 127.0.0.1. Other users of the machine can connect as well, and pages of other
sites can have a browser do so: each address begins with a random token, and without it, or with
another host's name, every answer is 403. Addresses have names and numbers in them, no paths.
"""

import contextlib
import hmac
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from footlight.config.fields import Range, integer
from footlight.errors import UserError, summarize_error, warn
from footlight.reports.live_pages import Busy, Key, Page, Pages
from footlight.runs.states import DEFAULT
from footlight.storage.files import opened, user_path

MAX_THREADS = 32
REQUEST_SECONDS = 5.0  # in which a request has to arrive
PATIENCE = 0.5  # in which it has to arrive while all threads are busy
ANSWER_SECONDS = 60.0  # in which its answer has to be taken
MAX_PART = 8 << 20  # bytes of a video in one answer to a request for a part
MAX_COMPARED = 200
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TYPES = {".mp4": "video/mp4", ".gif": "image/gif"}
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_NUMBERED = re.compile(r"(run|video)-(\d{1,7})", re.ASCII)


def watch_runs(
    dir: str | Path = DEFAULT, port: int = 0, *, notify: Callable[[str], None] = print
) -> None:
    """Serve the runs below a folder as pages on 127.0.0.1, until Ctrl-C.

    dir: folder in which to look, at any depth.
    port: 0 is any free one.
    notify: called with the address, which has a token in it: whoever knows it can see the runs.

    Pages reload themselves while the files grow; nothing is written. Raises `UserError`.
    """
    integer("port", port, Range(0, 65_535))
    with make_server(user_path(dir), port) as server:
        notify(server.address)
        server.serve_forever(poll_interval=0.5)


def make_server(top: Path, port: int = 0) -> "Server":
    """A server that is bound to its port already. Raises `UserError`."""
    pages = Pages(top)
    try:
        return Server(pages, port)
    except OSError as error:
        raise UserError(
            f"cannot listen on port {port} of 127.0.0.1 - {(error.strerror or str(error)).lower()} "
            "- choose another --port, or 0 for any free one"
        ) from error


class Server(ThreadingHTTPServer):
    """Answers requests in a bounded number of threads, each for a bounded time."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = sys.platform != "win32"  # where it would share a port with others

    def __init__(self, pages: Pages, port: int) -> None:
        self.pages, self.token = pages, secrets.token_urlsafe(24)
        self._free = threading.BoundedSemaphore(MAX_THREADS)
        self._deadlines: dict[socket.socket, float] = {}
        super().__init__(("127.0.0.1", port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    @property
    def address(self) -> str:
        """The address of the overview."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, which may take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def allow(self, connection: socket.socket, seconds: float) -> None:
        """Let a connection take so many seconds from now on."""
        self._deadlines[connection] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """End connections that take too long, such as those that send a byte now and then."""
        self._end_those_due(time.monotonic())

    def _end_those_due(self, until: float) -> None:
        for connection, deadline in [*self._deadlines.items()]:
            if deadline < until:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._free.acquire(timeout=0.05):  # the slow ones make room for the others
            self._end_those_due(time.monotonic() + REQUEST_SECONDS - PATIENCE)
        self.allow(request, REQUEST_SECONDS)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started; one that was has its own `finally`
            self._deadlines.pop(request, None)
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._deadlines.pop(request, None)
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that ended early is nothing to report; anything else is a bug."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            warn(f"a page could not be made: {summarize_error(error)}")


class Handler(BaseHTTPRequestHandler):
    """One request. Connections are not kept open."""

    server: Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer with a page or a video."""
        if (words := self._authorized()) is None:
            return
        self.server.allow(self.connection, ANSWER_SECONDS)
        self.connection.settimeout(ANSWER_SECONDS)
        try:
            found = self._found(*words)
        except Busy:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "2"})
        except Exception as error:  # among them that a folder has been removed meanwhile
            warn(f"a page could not be made: {summarize_error(error)}")
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR)
        else:  # outside of the `try`: here an OSError means that the browser has gone
            if found is None:
                self._say(HTTPStatus.NOT_FOUND)
            elif isinstance(found, Page):
                self._page(found)
            else:
                self._video(found)

    do_HEAD = do_GET

    def _refuse(self) -> None:
        if self._authorized() is not None:
            self._say(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _authorized(self) -> tuple[str, str] | None:
        """What is asked for below the token, and the query; None if it has been refused."""
        # Only an absolute path can begin with the token: `GET http://...` is for a proxy
        path, _, query = self.path.partition("?")
        _, token, rest = [*path.split("/", 2), "", "", ""][:3]
        known = hmac.compare_digest(token.encode(), self.server.token.encode())
        is_path = path.startswith(f"/{token}/")
        if not (known and is_path and self.headers.get("Host") in self.server.hosts):
            self._say(HTTPStatus.FORBIDDEN)
            return None
        return rest, query

    def _found(self, name: str, query: str) -> Page | Path | None:
        """The page or the video that is asked for. Raises `Busy`."""
        numbered = _NUMBERED.fullmatch(name)
        if numbered and numbered[1] == "video":
            return self.server.pages.video(int(numbered[2]))
        key: Key | None = None
        if numbered:
            key = Key((int(numbered[2]),))
        elif name == "compare":
            key = _compared(query)
        elif name in ("", "all"):
            key = Key(() if name else None)
        return None if key is None else self.server.pages.get(key)

    def _page(self, page: Page) -> None:
        headers = {"Content-Type": "text/html; charset=utf-8", "ETag": f'"{page.version}"'}
        self._head(HTTPStatus.OK, len(page.html), headers)
        if self.command != "HEAD":
            self.wfile.write(page.html)

    def _video(self, path: Path) -> None:
        try:
            with opened(path) as file:
                size = file.seek(0, 2)
                start, stop = self._range(size)
                headers = {"Content-Type": _TYPES[path.suffix.lower()], "Accept-Ranges": "bytes"}
                if start is None:
                    self._say(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                              {"Content-Range": f"bytes */{size}"})  # fmt: skip
                    return
                status = HTTPStatus.OK
                if "Range" in self.headers:
                    status = HTTPStatus.PARTIAL_CONTENT
                    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
                self._head(status, stop - start, headers)
                file.seek(start)
                while self.command != "HEAD" and start < stop:
                    if not (part := file.read(min(1 << 16, stop - start))):
                        break
                    self.wfile.write(part)
                    start += len(part)
        except UserError:  # removed meanwhile, or a link by now
            self._say(HTTPStatus.NOT_FOUND)

    def _range(self, size: int) -> tuple[int | None, int]:
        """The first byte that is asked for, and the one after the last; None: there is none."""
        if (given := self.headers.get("Range")) is None:
            return 0, size
        found = _RANGE.fullmatch(given)
        if found is None or int(found[1]) >= size:
            return None, size
        start = int(found[1])
        stop = int(found[2]) + 1 if found[2] else size
        return (start if stop > start else None), min(stop, size, start + MAX_PART)

    def _head(self, status: HTTPStatus, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _say(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        text = f"{status.phrase}\n".encode()
        self._head(
            status, len(text), {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
        )
        if self.command != "HEAD":
            self.wfile.write(text)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that could not be parsed, without a word of it."""
        self.command = self.command or ""
        self.close_connection = True
        self._say(HTTPStatus(code))

    def version_string(self) -> str:
        """No versions are told."""
        return "footlight"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


def _compared(query: str) -> Key | None:
    """The runs that a comparison asks for; None if they are not numbers."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, max_num_fields=MAX_COMPARED)
    except ValueError:
        return None
    values = [value for name, value in pairs if name == "run"]
    if not values or not all(re.fullmatch(r"\d{1,7}", value, re.ASCII) for value in values):
        return None
    return Key(tuple(dict.fromkeys(map(int, values))))
