"""Notebooks: how they are recognized, and files as HTML."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from footlight.instruments import notebook


class ZMQInteractiveShell:
    """The shell of a kernel."""


class Shell(ZMQInteractiveShell):
    """That of a service on the web, derived from it."""


class TerminalInteractiveShell:
    """The shell of IPython on a terminal."""


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (Shell(), True),
        (ZMQInteractiveShell(), True),
        (TerminalInteractiveShell(), False),
        (None, False),
    ],
)
def test_notebook_is_recognized(
    shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert notebook.in_notebook() is expected


def test_no_notebook_without_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()


def test_live_text_replaces_its_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, str], dict[str, bool]]] = []

    class Handle:
        def update(self, data: dict[str, str], **how: bool) -> None:
            sent.append(("update", data, how))

    def display(data: dict[str, str], **how: bool) -> Handle:
        sent.append(("display", data, how))
        return Handle()

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    line = notebook.LiveText("0%")
    line.replace("50%")
    assert sent == [
        ("display", {"text/plain": "0%"}, {"raw": True, "display_id": True}),
        ("update", {"text/plain": "50%"}, {"raw": True}),
    ]


def test_large_videos_are_named_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "<a>.gif"
    path.write_bytes(b"0" * 11)
    monkeypatch.setattr(notebook, "MAX_INLINE_BYTES", 10)
    shown = notebook.video_html(path)
    assert shown is not None
    assert "too large" in shown
    assert "&lt;a&gt;.gif" in shown
    assert notebook.video_html(tmp_path / "a.txt") is None
