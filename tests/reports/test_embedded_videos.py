"""Videos in the page, or beside it."""

import base64
from pathlib import Path

import pytest
from reported_runs import HOSTILE, Page, reported

from footlight.reports import embedded_videos
from footlight.reports.embedded_videos import MAX_PAGE, videos
from footlight.reports.folders import ReportRun


def run_with(folder: Path, *names: str, size: int = 100) -> ReportRun:
    run = reported("run")
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"v" * size)
    run.videos = [folder / name for name in names]
    return run


def test_small_videos_are_in_the_page_the_newest_first(tmp_path: Path) -> None:
    run = run_with(tmp_path / "videos", "step-1.gif", "step-2.mp4")
    page = Page(videos([run], 0) or "")
    content = base64.b64encode(b"v" * 100).decode()
    sources = [value for _, name, value in page.attributes if name == "src"]
    assert sources == [f"data:video/mp4;base64,{content}", f"data:image/gif;base64,{content}"]
    assert page.text.index("step-2.mp4") < page.text.index("step-1.gif")


def test_videos_that_would_make_the_page_too_large_are_linked(tmp_path: Path) -> None:
    run = run_with(tmp_path / "videos", "step-1.mp4", size=10_000)
    page = Page(videos([run], MAX_PAGE - 10_000, lambda path: f"videos/{path.name}") or "")
    assert "video" not in page.tags
    assert ("a", "href", "videos/step-1.mp4") in page.attributes
    assert "These are not in it" in page.text
    shown = videos([run], MAX_PAGE - 10_000, lambda path: None)
    assert shown is not None
    assert "a" not in Page(shown).tags


def test_a_page_with_videos_stays_small(tmp_path: Path) -> None:
    names = [f"step-{n}.mp4" for n in range(9)]
    run = run_with(tmp_path / "videos", *names, size=700_000)
    shown = videos([run], 500_000)
    assert shown is not None
    assert 1_500_000 < len(shown) < MAX_PAGE - 500_000


def test_links_and_lost_files_are_only_named(tmp_path: Path) -> None:
    run = run_with(tmp_path / "videos", "step-1.mp4")
    (tmp_path / "videos" / "step-2.mp4").symlink_to("/etc/passwd")
    run.videos += [tmp_path / "videos" / name for name in ("step-2.mp4", "step-3.mp4")]
    page = Page(videos([run], 0) or "")
    assert page.tags.count("video") == 1
    assert page.tags.count("li") == 2


def test_there_is_no_section_without_videos_and_a_bounded_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert videos([reported("run")], 0) is None
    monkeypatch.setattr(embedded_videos, "MAX_LISTED", 2)
    run = run_with(tmp_path / "videos", "1.mp4", "2.mp4", "3.mp4")
    assert "1 more videos are not listed" in (videos([run], 0) or "")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = run_with(tmp_path / "videos", HOSTILE.replace("/", "_") + ".gif")
    page = Page(videos([run, run], 0) or "")
    assert "script" not in page.tags
    assert page.tags.count("img") == 1 + 1
