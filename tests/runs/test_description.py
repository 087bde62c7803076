"""A run folder in a line and as a table."""

import json
from pathlib import Path

from footlight.run import Run
from footlight.runs import description

RESULT = {
    "status": "stopped", "stop_reason": "<solved>", "steps": 1_500,
    "final_evaluation": {"mean_return": -152.04, "std_return": 80.0},
}  # fmt: skip


def write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_run_describes_itself(tmp_path: Path) -> None:
    assert repr(Run(tmp_path)) == f"<Run {str(tmp_path)!r}: not a run folder>"
    write(tmp_path, "config.json", {"algorithm": "sac", "environment": "Pendulum-v1", "seed": 3})
    assert description.line(tmp_path) == "sac on Pendulum-v1, has not ended"
    write(tmp_path, "result.json", RESULT)
    assert repr(Run(tmp_path)).endswith(
        ": sac on Pendulum-v1, stopped: <solved> at step 1,500, final evaluation -152.0 ± 80.0>"
    )
    table = Run(tmp_path)._repr_html_()
    assert "&lt;solved&gt;" in table
    assert table.count("<tr>") == 6


def test_damaged_files_do_not_prevent_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    write(tmp_path, "result.json", ["no object"])
    assert description.line(tmp_path) == ""
    assert str(tmp_path) in description.table(tmp_path)
