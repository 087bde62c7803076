"""Pages are made again when files have grown, and asked for by numbers."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from run_folders import evaluation, held_elsewhere, write_run

from footlight.errors import UserError
from footlight.reports import folders, live_pages
from footlight.reports.live_pages import Busy, Key, Pages


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_run(tmp_path / "runs" / name)
    return tmp_path / "runs"


def test_runs_keep_their_numbers(top: Path) -> None:
    clock = Clock()
    pages = Pages(top, clock)
    assert b'href="run-0"' in pages.get(Key()).html  # type: ignore[union-attr]
    first = pages.get(Key((0,)))
    write_run(top / "0-new")  # sorted before the others
    clock.now += 100
    assert b'href="run-2">0-new<' in pages.get(Key()).html  # type: ignore[union-attr]
    assert pages.get(Key((0,))) is first


def test_a_page_follows_its_files_and_no_others(top: Path) -> None:
    clock = Clock()
    pages = Pages(top, clock)
    one, other = (pages.get(Key((number,))) for number in (0, 1))
    assert one is not None
    with (top / "a" / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps(evaluation(200, 7.5)) + "\n")
    assert pages.get(Key((0,))) is one  # not looked at again yet
    clock.now += 100
    new = pages.get(Key((0,)))
    assert new is not None
    assert new.version != one.version
    assert pages.get(Key((1,))) is other


def test_a_page_follows_a_run_that_is_killed(top: Path) -> None:
    clock = Clock()
    pages = Pages(top, clock)
    (top / "a" / "result.json").unlink()
    with held_elsewhere(top / "a"):
        page = pages.get(Key((0,)))
        assert page is not None
        running = page.version
    clock.now += 100
    page = pages.get(Key((0,)))
    assert page is not None
    assert page.version != running


def test_a_page_is_made_once_in_a_while(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = Clock(), list[Any]()

    def slow_render(folders: Any, **rest: Any) -> str:
        made.append(folders)
        clock.now += 3  # seconds
        return str(len(made))

    monkeypatch.setattr(live_pages, "render", slow_render)
    pages = Pages(top, clock)
    pages.get(Key((0,)))
    (top / "a" / "result.json").unlink()
    clock.now += 20  # less than ten times what it took
    for _ in range(200):
        pages.get(Key((0,)))
    assert len(made) == 1
    clock.now += 20
    assert pages.get(Key((0,))).html == b"2"  # type: ignore[union-attr]


def test_a_page_that_exists_is_returned_while_it_is_made_again(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    pages = Pages(top, clock)
    old = pages.get(Key((0,)))
    clock.now += 100
    with pages._making:  # another thread makes pages
        assert pages.get(Key((0,))) is old
        monkeypatch.setattr(pages, "_waiting", threading.BoundedSemaphore(1))
        with pages._waiting, pytest.raises(Busy):
            pages.get(Key((1,)))


def test_memory_is_bounded(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_pages, "MAX_PAGES", 2)
    monkeypatch.setattr(live_pages, "MAX_RUNS", 2)
    write_run(top / "c")
    pages = Pages(top, Clock())
    for key in (Key((0,)), Key((1,)), Key((0, 1)), Key(())):
        assert pages.get(key) is not None
    assert len(pages._pages) == 2
    assert pages.get(Key((2,))) is None  # has no number


def test_unknown_numbers_have_no_page(top: Path) -> None:
    pages = Pages(top, Clock())
    assert pages.get(Key((5,))) is None
    assert pages.get(Key((0, 5))) is None
    assert pages.video(0) is None


def test_videos_behind_links_are_not_served(top: Path) -> None:
    folder = top / "a" / "videos"
    folder.mkdir()
    (folder / "step-1.mp4").write_bytes(b"x" * 3_000_000)  # too large to be in the page
    pages = Pages(top, Clock())
    page = pages.get(Key((0,)))
    assert page is not None
    assert b'href="video-0"' in page.html
    assert pages.video(0) == folder / "step-1.mp4"
    folder.rename(top / "a" / "moved")
    folder.symlink_to(top / "a" / "moved")
    assert pages.video(0) is None


def test_a_run_that_disappears_leaves_a_message(top: Path) -> None:
    clock = Clock()
    pages = Pages(top, clock)
    pages.get(Key((0,)))
    (top / "a").rename(top.parent / "gone")
    clock.now += 100
    page = pages.get(Key((0,)))
    assert page is not None
    assert b"is not a run folder" in page.html


def test_a_page_is_made_whatever_the_doctor_raises(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(folders, "examine", failing)
    page = Pages(top, Clock()).get(Key((0,)))
    assert page is not None
    assert b"The doctor could not examine the run: ZeroDivisionError." in page.html


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        Pages(tmp_path / "missing")
