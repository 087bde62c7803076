"""`footlight.report`, and `footlight report`."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from reported_runs import write_run

from footlight.cli.main import main
from footlight.errors import StorageFault, UserError
from footlight.reports.report import report


def test_a_report_is_in_the_run_folder_and_one_of_several_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = write_run(tmp_path / "runs/a"), write_run(tmp_path / "runs/b")
    assert report(one) == one / "report.html"
    assert report(SimpleNamespace(folder=one)) == one / "report.html"
    assert report([one, other]) == report("runs") == Path("report.html")
    assert "2 runs" in Path("report.html").read_text("utf-8")


def test_an_existing_page_is_replaced_and_a_link_not_followed(tmp_path: Path) -> None:
    run, page, kept = write_run(tmp_path / "run"), tmp_path / "page.html", tmp_path / "kept"
    kept.write_text("kept")
    page.symlink_to(kept)
    report(run, page)
    assert kept.read_text() == "kept"
    assert not page.is_symlink()
    report(run, page)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for output, reason in (("page.txt", "suffix"), ("missing/page.html", "does not exist")):
        with pytest.raises(UserError, match=reason):
            report(run, tmp_path / output)
    with pytest.raises(UserError, match="no run was given"):
        report([])
    with pytest.raises(UserError, match="is not a run"):
        report([3])


def test_a_page_that_cannot_be_written_is_a_storage_fault(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(StorageFault, match="choose another place"):
        report(write_run(tmp_path / "run"), tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_large_videos_are_linked_from_where_the_page_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a run")
    (run / "videos").mkdir()
    (run / "videos" / "step 1.mp4").write_bytes(b"v" * 4_000_000)
    (tmp_path / "pages").mkdir()
    page = report(run, tmp_path / "pages" / "page.html")
    assert 'href="../a%20run/videos/step%201.mp4"' in page.read_text("utf-8")
    assert 'href="videos/step%201.mp4"' in report(run).read_text("utf-8")


def test_names_that_are_not_text_are_no_fault(tmp_path: Path) -> None:
    run = write_run(tmp_path / os.fsdecode(b"run-\xff\n"))
    (run / "videos").mkdir()
    (run / "videos" / os.fsdecode(b"step-\xff.mp4")).write_bytes(b"v" * 4_000_000)
    assert 'href="videos/step-%FF.mp4"' in report(run).read_text("utf-8")


def test_the_command_names_the_file_and_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page = write_run(tmp_path / "run"), tmp_path / "page.html"
    assert main(["report", str(run), "--output", str(page)]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{page} (")
    assert line.endswith("kB)\n")
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "is not a run folder" in capsys.readouterr().err
