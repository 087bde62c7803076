"""Whether this is a notebook; a line of output that changes; files as HTML with their data."""

import base64
import html
import importlib
import sys
from pathlib import Path
from typing import Any

# A page with more data in it is slow to open and to save
MAX_INLINE_BYTES = 30_000_000
_TYPES = {".mp4": "video/mp4", ".gif": "image/gif"}


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")  # not imported: outside of it there is no notebook
    shell = None if ipython is None else ipython.get_ipython()
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)


class LiveText:
    """An output of the cell that is one text, which can be replaced: a saved notebook has the last.

    Only for notebooks.
    """

    def __init__(self, text: str) -> None:
        display: Any = importlib.import_module("IPython.display").display
        self._handle: Any = display(_plain(text), raw=True, display_id=True)

    def replace(self, text: str) -> None:
        """Show `text` in place of the text before."""
        self._handle.update(_plain(text), raw=True)


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}


def video_html(path: Path, caption: str = "") -> str | None:
    """HTML that plays a video file (.mp4 or .gif) in a loop, with the file's data in it.

    Of a file of more than 30 MB it is a sentence that names the file; None without a file.
    """
    kind = _TYPES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return None
    below = f"<div><small>{html.escape(caption)}</small></div>" if caption else ""
    if (size := path.stat().st_size) > MAX_INLINE_BYTES:
        where = html.escape(str(path))
        return (
            f"<div>The video is too large to be part of a page ({size / 1e6:.0f} MB): {where}</div>"
        )
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source, style = f"data:{kind};base64,{data}", "max-width: 100%"
    if kind == "image/gif":
        return f'<img src="{source}" alt="video of episodes" style="{style}">{below}'
    how = "controls autoplay loop muted playsinline"
    return f'<video {how} src="{source}" style="{style}"></video>{below}'
