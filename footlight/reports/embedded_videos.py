"""Videos of runs: inside of the page while it stays small, else as links."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

from footlight.errors import UserError
from footlight.reports.folders import ReportRun
from footlight.reports.markup import Html, element, join
from footlight.storage.files import read_file

MAX_PAGE = 3_000_000  # bytes of a page with its videos
MAX_EMBEDDED = 6  # videos
MAX_LISTED = 40
_KINDS = {".mp4": "video/mp4", ".gif": "image/gif"}

Link = Callable[[Path], str | None]


def videos(runs: Sequence[ReportRun], page_bytes: int, link: Link | None = None) -> Html | None:
    """The newest video of each run, then older ones, and links to those that are too large.

    page_bytes: of the rest of the page. link: the address of a video, seen from the page.
    None without videos.
    """
    by_age = [[(run, path) for path in reversed(run.videos)] for run in runs]
    longest = max(map(len, by_age), default=0)
    every = [own[age] for age in range(longest) for own in by_age if age < len(own)]
    if not every:
        return None
    left, shown, links = MAX_PAGE - page_bytes, list[Html](), list[Html]()
    for run, path in every[:MAX_LISTED]:
        name = f"{run.name}: {path.name}" if len(runs) > 1 else path.name
        content = _content(path, left) if len(shown) < MAX_EMBEDDED else None
        if content is not None:
            figure = _figure(name, path, content)
            left -= len(figure)
            shown.append(figure)
            continue
        address = link(path) if link is not None else None
        links.append(element("li", element("a", name, href=address) if address else name))
    parts: list[Html | None] = [element("div", *shown, class_="charts") if shown else None]
    if links:
        limits = f"{MAX_EMBEDDED} videos and {MAX_PAGE // 10**6} MB"
        text = f"The page has at most {limits}. These are not in it, but in the folders of runs:"
        parts += [element("p", text, class_="note"), element("ul", *links)]
    if len(every) > MAX_LISTED:
        parts.append(element("p", f"{len(every) - MAX_LISTED} more videos are not listed."))
    return join(*parts)


def _content(path: Path, left: int) -> bytes | None:
    """The content of a video; None if it is too large for the page, or cannot be read."""
    try:
        return read_file(path, max(left * 3 // 4 - 1_000, 0))
    except UserError:
        return None


def _figure(name: str, path: Path, content: bytes) -> Html:
    kind = _KINDS[path.suffix.lower()]
    source = f"data:{kind};base64,"
    address = Html(source + base64.b64encode(content).decode())
    if kind == "image/gif":
        shown = element("img", src=address, alt=name)
    else:
        shown = element("video", src=address, controls="", loop="", muted="", preload="metadata")
    return element("figure", element("figcaption", element("h3", name)), shown)
