"""What can be plotted, and what is rejected."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from plotted_runs import legend, lines, write_run

from footlight.cli.main import main
from footlight.errors import UserError
from footlight.instruments.plot import plot_runs


def test_accepted_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        write_run(tmp_path / "runs" / "sac" / f"{seed:03d}", [(10, seed), (20, 2.0)], seed=seed)
    write_run(tmp_path / "runs" / "new")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "config.json").write_text("{")
    first = tmp_path / "runs" / "sac" / "001"
    for given in (
        tmp_path / "runs",
        str(tmp_path / "runs"),
        [SimpleNamespace(folder=first), tmp_path / "runs"],
    ):
        assert legend(plot_runs(given))[0] == "SAC (mean of 2 seeds)"
        said = capsys.readouterr().err
        assert f"skipped: {tmp_path}/runs/new has nothing to plot yet" in said
        assert "broken" in said
    assert lines(plot_runs([3, 2, 1.5]).axes[0]) == [[3, 2, 1.5]]
    assert lines(plot_runs(np.array([[1.0, 2.0], [3.0, 4.0]])).axes[0]) == [[2, 3]]
    assert legend(plot_runs([[1.0, 2.0], [3.0, 4.0]], label=["mine", "theirs"])) == [
        "mine",
        "theirs",
    ]
    episodes = write_run(tmp_path / "episodes", [], [(5, 1.0), (7, 2.0)])
    (axes,) = plot_runs([episodes, [3.0, 4.0]]).axes
    assert axes.get_xlabel() == "training episodes"
    assert lines(axes) == [[1, 2], [3, 4]]


def test_plot_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "1", [(10, 1.0), (20, 2.0)])
    write_run(tmp_path / "runs" / "2", [(10, 1.0), (20, 2.0)], seed=2)
    assert main(["plot", "runs/1"]) == 0
    assert main(["plot", "runs", "--label", "mine", "--metric", "std_return", "--x", "steps"]) == 0
    assert capsys.readouterr().out.splitlines() == ["runs/1/curve.png", "curve.png"]
    assert Path("curve.png").stat().st_size > 5_000


def test_invalid_inputs_are_rejected(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [(10, 1.0)])
    empty = write_run(tmp_path / "new")
    untested = write_run(tmp_path / "untested", [], [(5, 1.0)])
    (tmp_path / "nothing").mkdir()
    for runs, given, words in [
        ([run], {"output": tmp_path / "curve.jpg"}, r"\.png, \.svg, \.pdf"),
        ([run], {"output": tmp_path / "missing" / "curve.png"}, "does not exist"),
        ([], {}, "no run was given"),
        ([empty], {}, "new has nothing to plot"),
        ([run, empty], {}, "new has nothing to plot"),
        ([run, untested], {}, "some have only evaluations, some only training episodes"),
        (tmp_path / "nothing", {}, "is not a run folder and contains none"),
        (tmp_path / "nowhere", {}, "is not a run folder"),
        ([run], {"x": "time"}, "x is 'time' - it must be one of steps, updates, episodes, seconds"),
        ([run], {"x": "seconds"}, "has no seconds"),
        ([[1.0, 2.0]], {"x": "steps"}, "a sequence of returns has episodes only"),
        ([object()], {}, "is not a run"),
        ([untested, run], {"metric": "mean_return"}, "untested has no mean_return"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            plot_runs(runs, **given)  # type: ignore[arg-type]
        assert len(str(caught.value).splitlines()) <= 3
    assert not list(tmp_path.glob("*.png"))
