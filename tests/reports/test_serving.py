"""The server of live pages: who is refused, what is served, and what cannot be asked for."""

import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import write_run

from footlight.errors import UserError
from footlight.reports import serving
from footlight.reports.serving import Server, make_server

VIDEO = bytes(range(256)) * 12_000  # too large to be in a page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    top = tmp_path_factory.mktemp("served") / "runs"
    for name in ("a", "b"):
        write_run(top / name)
    (top / "a" / "videos").mkdir()
    (top / "a" / "videos" / "step-1.mp4").write_bytes(VIDEO)
    (top / "secret.mp4").write_bytes(b"secret")
    with make_server(top) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, content and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_pages(server: Server) -> None:
    base = f"/{server.token}/"
    for name, word in (("", b"Runs in"), ("run-0", b"Pendulum"), ("all", b"Pendulum")):
        status, content, headers = ask(server, base + name)
        assert status == 200
        assert word in content
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
        assert ask(server, base + name, "HEAD")[1:] == (b"", headers | {"Date": ANY})
    assert ask(server, f"{base}compare?run=0&run=1")[0] == 200


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY: Any = _Any()


@pytest.mark.parametrize(
    "path", ["/", "/run-0", "/wrong/", "//", "/../", "/wrong/run-0", "/favicon.ico", "/%00/"]
)
def test_without_the_token_everything_is_forbidden(server: Server, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert ask(server, path, method)[0] == 403
    prefix = server.token[:-1]
    assert ask(server, f"/{prefix}/")[0] == 403
    assert ask(server, f"/{server.token}")[0] == 403


def test_other_hosts_are_forbidden(server: Server) -> None:
    path = f"/{server.token}/"
    for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1", "localhost:1"):
        assert ask(server, path, Host=host)[0] == 403
    assert ask(server, path, Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "run-9", "run--1", "run-0/", "run-0x", "run-%C2%B2", "run-00000000", "video-9", "video-",
        "../secret.mp4", "..%2fsecret.mp4", "secret.mp4", "/etc/passwd", "%2e%2e/secret.mp4",
        "a/config.json", "compare", "compare?run=x", "compare?run=-1", "compare?run=0&run=99",
        "compare?" + "&".join(["run=0"] * 300), "index.html", ".", "..", "video-0/../../secret.mp4",
    ],
)  # fmt: skip
def test_tricks_with_paths_find_nothing(server: Server, name: str) -> None:
    status, content, _ = ask(server, f"/{server.token}/{name}")
    assert status == 404
    assert b"secret" not in content


def test_other_methods_are_refused(server: Server) -> None:
    assert ask(server, f"/{server.token}/", "POST")[0] == 405


def test_videos_are_served_in_parts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    base = f"/{server.token}/"
    ask(server, f"{base}run-0")  # whose page gives the video its number
    status, content, headers = ask(server, f"{base}video-0")
    assert (status, content, headers["Content-Type"]) == (200, VIDEO, "video/mp4")
    status, content, headers = ask(server, f"{base}video-0", Range="bytes=10-19")
    assert (status, content) == (206, VIDEO[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(VIDEO)}"
    monkeypatch.setattr(serving, "MAX_PART", 100)
    assert ask(server, f"{base}video-0", Range="bytes=5-")[1] == VIDEO[5:105]
    for wrong in (f"bytes={len(VIDEO)}-", "bytes=9-3", "bytes=-5", "bytes=0-1,3-4", "lines=1-2"):
        assert ask(server, f"{base}video-0", Range=wrong)[0] == 416


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), ZeroDivisionError("zero")])
def test_a_page_that_cannot_be_made_is_an_answer_and_a_warning(
    server: Server,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(server.pages, "_looked_at", failing)
    monkeypatch.setattr(server.pages, "_pages", {})
    monkeypatch.setattr(server.pages, "video", failing)
    for name in ("all", "run-0", "", "video-0"):
        status, content, _ = ask(server, f"/{server.token}/{name}")
        assert (status, content) == (500, b"Internal Server Error\n")
        assert f"a page could not be made: {type(error).__name__}: " in capsys.readouterr().err


def test_nonsense_is_answered_in_a_word(server: Server) -> None:
    for sent in (b"nonsense\r\n\r\n", b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), 20) as connection:
            connection.sendall(sent)
            answer = connection.makefile("rb").read()
        assert b"nonsense" not in answer
        assert b"Python" not in answer
        assert answer.endswith((b"Bad Request\n", b"Too Long\n"))


def test_slow_requests_make_room(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.01)
    slow = [
        socket.create_connection(("127.0.0.1", server.server_port), 20)
        for _ in range(serving.MAX_THREADS + 4)
    ]
    try:
        assert ask(server, f"/{server.token}/")[0] == 200
        assert slow[0].recv(1) == b""  # was ended
    finally:
        for each in slow:
            each.close()


def test_a_request_has_to_arrive_in_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.05)
    with socket.create_connection(("127.0.0.1", server.server_port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(100) == b""


def test_threads_are_bounded_and_all_are_answered(server: Server) -> None:
    path, statuses = f"/{server.token}/run-1", list[int]()
    ask(server, path)

    def ask_often() -> None:
        statuses.extend(ask(server, path)[0] for _ in range(10))

    threads = [threading.Thread(target=ask_often) for _ in range(20)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(server._deadlines))
        time.sleep(0.005)
    assert statuses == [200] * 200
    assert most <= serving.MAX_THREADS + 1


def test_a_port_in_use_is_an_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot listen on port \d+ of 127.0.0.1 - "):
        make_server(tmp_path, server.server_port)


def test_tokens_are_long_and_never_the_same(tmp_path: Path) -> None:
    with make_server(tmp_path) as one, make_server(tmp_path) as other:
        assert one.token != other.token
        assert len(one.token) >= 32
        assert one.server_address[0] == "127.0.0.1"


def test_nothing_is_written(server: Server) -> None:
    top = server.pages.top
    before = sorted((path, path.stat().st_mtime_ns) for path in top.rglob("*"))
    for name in ("", "run-0", "all"):
        ask(server, f"/{server.token}/{name}")
    assert sorted((path, path.stat().st_mtime_ns) for path in top.rglob("*")) == before


def test_ctrl_c_while_a_request_begins_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = socketserver.ThreadingMixIn.process_request

    def interrupted(server: Any, request: Any, address: Any) -> None:
        begin(server, request, address)  # the thread answers, and makes room by itself
        time.sleep(0.2)
        raise KeyboardInterrupt

    monkeypatch.setattr(socketserver.ThreadingMixIn, "process_request", interrupted)
    with make_server(tmp_path) as server:
        address, otherwise = server.server_address, threading.Timer(5, server.shutdown)
        otherwise.start()
        with socket.create_connection(address) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(KeyboardInterrupt):
                server.serve_forever()
        otherwise.cancel()
