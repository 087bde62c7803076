"""Pages about the runs below a folder, made again when their files have grown.

Pages are asked for by numbers, never by paths: a run has the number under which it was first seen.
Each is made at most once in a while, by one thread at a time, and kept: however often it is asked
for, the work is bounded, and so is the memory.
"""

import contextlib
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from importlib.resources import files
from pathlib import Path

from footlight.errors import FootlightError
from footlight.reports.folders import LOGS, Cache
from footlight.reports.overview import overview
from footlight.reports.page import render
from footlight.runs.listing import list_runs
from footlight.runs.lock import is_running

PAUSE = 2.0  # seconds between two looks at the files of a page
SHARE = 10  # a page is made again after so many times the seconds that it took
MAX_PAGES = 16
MAX_WAITING = 8  # requests for pages that have not been made yet
MAX_RUNS, MAX_VIDEOS = 10_000, 100_000  # that have a number
_FILES = ("config.json", "result.json", "videos", *(f"{log}.jsonl" for log in LOGS))


@dataclass(frozen=True)
class Key:
    """What a page is about: the runs of these numbers, or all of them; None: the overview."""

    runs: tuple[int, ...] | None = None


@dataclass
class Page:
    """A page, the state of the files that it was made from, and when to look at them again."""

    version: str
    html: bytes
    next_look: float


class Busy(Exception):
    """Too many requests wait for pages that are being made."""


class Numbered:
    """Paths by numbers that stay theirs. Only the thread that makes a page adds some."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.paths: list[Path] = []
        self._numbers: dict[Path, int] = {}

    def number(self, path: Path) -> int | None:
        """The number of a path, a new one if it has none; None if there are too many."""
        if path not in self._numbers:
            if len(self.paths) >= self._limit:
                return None
            self._numbers[path] = len(self.paths)
            self.paths.append(path)
        return self._numbers[path]

    def path(self, number: int) -> Path | None:
        """The path of a number."""
        return self.paths[number] if 0 <= number < len(self.paths) else None


class Pages:
    """Pages about the runs below `top`. Raises `UserError` if it is not a folder."""

    def __init__(self, top: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.top, self._clock = top, clock
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._making = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._cache = Cache()
        self._runs, self._videos = Numbered(MAX_RUNS), Numbered(MAX_VIDEOS)
        self.get(Key())

    def video(self, number: int) -> Path | None:
        """The file of a video that is on a page. None if it is none, or behind a link by now."""
        path = self._videos.path(number)
        if path is None or any(each.is_symlink() for each in _below(self.top, path)):
            return None
        return path

    def get(self, key: Key) -> Page | None:
        """The page, at most a while old; None without such runs.

        While another thread makes a page, one that exists is returned as it is. Raises `Busy` if
        many wait for pages that do not.
        """
        page = self._pages.get(key)
        if page is not None:
            if self._clock() < page.next_look or not self._making.acquire(blocking=False):
                return page
            try:
                return self._looked_at(key, page)
            finally:
                self._making.release()
        if not self._waiting.acquire(blocking=False):
            raise Busy
        try:
            with self._making:
                page = self._pages.get(key)  # another thread may have made it meanwhile
                return page if page is not None else self._looked_at(key, None)
        finally:
            self._waiting.release()

    def _looked_at(self, key: Key, page: Page | None) -> Page | None:
        """The page itself if its files are as they were, else a new one."""
        began = self._clock()
        folders = self._folders(key)
        if folders is None:
            return None
        version = _version(folders) if key.runs is not None else ""
        if page is None or key.runs is None or page.version != version:
            html = self._made(key, folders)
            page = Page(version or _digest(html), html, 0.0)
        page.next_look = began + max(PAUSE, SHARE * (self._clock() - began))
        self._pages[key] = page
        self._pages.move_to_end(key)
        while len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)
        return page

    def _folders(self, key: Key) -> list[Path] | None:
        """The folders of a page; None if it is about no run, or if one of them has no number."""
        if key.runs is None:
            return []
        if not key.runs:
            return [each for each in self._runs.paths if each.is_dir()] or None
        found = [self._runs.path(number) for number in key.runs]
        return [each for each in found if each is not None] if None not in found else None

    def _made(self, key: Key, folders: Sequence[Path]) -> bytes:
        try:
            if key.runs is None:
                runs = list_runs(self.top)
                numbered = [(self._runs.number(run.path), run) for run in runs]
                return overview(self.top, numbered, live_script()).encode()
            return render(
                folders, link=self._link, cache=self._cache, script=live_script()
            ).encode()
        except FootlightError as error:
            if not self._pages:  # the first page of all: the folder itself is wrong
                raise
            return overview(self.top, [], live_script(), str(error)).encode()

    def _link(self, video: Path) -> str | None:
        """The address of a video, seen from any page."""
        number = self._videos.number(video)
        return None if number is None else f"video-{number}"


def _below(top: Path, path: Path) -> list[Path]:
    """The path and its parents, as far as they are below `top`."""
    return [each for each in (path, *path.parents) if each != top and each.is_relative_to(top)]


def _version(folders: Sequence[Path]) -> str:
    """A digest of the sizes and times of all files of runs that a page is made from, and of whether
    they are running: a run that is killed changes no file."""
    state: list[object] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            state.append(is_running(folder))
        for name in _FILES:
            try:
                status = (folder / name).lstat()
                state.append((name, status.st_size, status.st_mtime_ns))
            except OSError:
                state.append((name, -1, -1))
    return _digest(repr((len(folders), state)).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


@once
def live_script() -> str:
    """The script that reloads a page."""
    return (files("footlight.reports") / "assets" / "live.js").read_text("utf-8")
