"""The lessons: scripts and notebooks say the same, notebooks are executed, scripts run quickly."""

import hashlib
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from documentation.lessons import (
    FOLDER,
    SOURCES,
    cells_of_notebook,
    cells_of_script,
    read_notebook,
)

MAX_BYTES = 2_000_000
# Executes a lesson with fewer updates and steps, with short episodes of Pendulum-v1 (three of them
# end), with fewer games at once, which take long to create, and where the lesson has no evaluation,
# without one
BRIEFLY = """
import runpy, sys

import footlight
import gymnasium

gymnasium.spec("Pendulum-v1").max_episode_steps = 40
train = footlight.train


def train_briefly(algorithm, environment, **settings):
    if algorithm in ("sac", "td3", "ddpg"):
        settings = {"updates_per_step": 0.05, **settings}
    if environment == "ALE/Breakout-v5":
        settings["num_envs"] = min(settings["num_envs"], 2)
        settings["steps"] //= 4
        if settings.get("eval_every") == 0:
            settings["eval_episodes"] = 0
    else:
        settings["steps"] = min(settings["steps"], 130)
    return train(algorithm, environment, **settings)


footlight.train = train_briefly
runpy.run_path(sys.argv[1], run_name="__main__")
"""
each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def quick_environment() -> dict[str, str]:
    """Fewer steps, and one thread for each of the processes that share the machine."""
    settings = {"FOOTLIGHT_LESSONS": "quick", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    return {**os.environ, **settings}


@each_lesson
def test_lesson_runs_quickly_as_a_script(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BRIEFLY, source], cwd=tmp_path, env=quick_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@each_lesson
def test_notebook_has_the_cells_of_the_script(source: Path) -> None:
    notebook = read_notebook(source.with_suffix(".ipynb"))
    assert cells_of_notebook(notebook) == cells_of_script(source.read_text(encoding="utf-8"))


@each_lesson
def test_notebook_was_executed_whole_from_this_script(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    notebook = read_notebook(path)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert notebook["metadata"]["footlight"]["source_sha256"] == digest, "run `make lessons`"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size <= MAX_BYTES


@each_lesson
def test_notebook_names_no_folder_of_the_machine_that_executed_it(source: Path) -> None:
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert str(FOLDER.parent) not in text
    assert not [word for word in ("/tmp/", "/root/", "/home/") if word in text]


def test_lessons_begin_with_the_same_two_cells() -> None:
    heads = {
        tuple(cell.text for cell in cells_of_script(path.read_text(encoding="utf-8")))[1:3]
        for path in SOURCES
    }
    assert len(heads) == 1


@pytest.mark.parametrize(("gpu", "index"), [(None, True), ("/usr/bin/nvidia-smi", False)])
def test_first_cell_installs_the_build_for_the_machine_in_colab(
    gpu: str | None, index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cells_of_script(SOURCES[0].read_text(encoding="utf-8"))[1].text
    commands: list[list[str]] = []

    def run(command: list[Any], check: bool) -> None:
        commands.append([str(word) for word in command])

    monkeypatch.chdir(tmp_path)
    exec(cell, {})  # not in Colab: nothing happens
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("shutil.which", lambda name: gpu)
    with pytest.raises(SystemExit, match="upload"):
        exec(cell, {})
    (tmp_path / "footlight-0.1.0-py3-none-any.whl").touch()
    exec(cell, {})
    assert [("--index-url" in command) for command in commands] == [index, False]
    assert "footlight-0.1.0" in commands[1][-1]


def test_script_is_cut_into_cells() -> None:
    text = "# ---\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n# %% [markdown]\n# end\n"
    assert cells_of_script(text) == [
        ("markdown", "# Title\n\ntext"),
        ("code", "x = 1"),
        ("markdown", "end"),
    ]
