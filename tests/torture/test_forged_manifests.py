"""Forged manifests: wrong types and contradictions under a correct checksum are rejected."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tampering import COMMANDS, forged, setting

from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint

FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "algorithm": setting("algorithm", to="os:system"),
    "algorithm-kind": setting("algorithm", to=["sac"]),
    "config-key": setting("config", "evil", to=1),
    "config-value": setting("config", "gamma", to="__import__('os')"),
    "config-sizes": setting("config", "hidden_sizes", to=[7]),
    "config-huge": setting("config", "hidden_sizes", to=[10**9, 10**9]),
    "shape": setting("spaces", "observation", "shape", to=[4]),
    "shape-negative": setting("spaces", "observation", "shape", to=[-3]),
    "shape-huge": setting("spaces", "observation", "shape", to=[10**12]),
    "dtype": setting("spaces", "observation", "dtype", to="object"),
    "envs": setting("num_envs", to=-1),
    "updates": setting("num_updates", to=None),
    "rows": setting("buffer", "num_rows", to=10**9),
    "rows-fewer": setting("buffer", "num_rows", to=5),
    "streams": setting("streams", "minibatch", "bit_generator", to="MT19937"),
    "streams-gone": setting("streams", to={}),
    "outside": lambda manifest: manifest["groups"].update(agent="../../../agent.safetensors"),
    "outside-file": lambda manifest: manifest["files"].update(
        {"../x.safetensors": {"bytes": 1, "sha256": ""}}
    ),
    "size": lambda manifest: manifest["files"]["agent.safetensors"].update(bytes=10**15),
    "size-kind": lambda manifest: manifest["files"]["agent.safetensors"].update(bytes="many"),
    "swapped": lambda manifest: manifest["groups"].update(agent="policy.safetensors"),
    "newer": setting("format_version", to=99),
    "older": setting("format_version", to=0),
}
WRONG_TYPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unknown": setting("evil", to=1),
    "run-none": setting("run", to=None),
    "run-list": setting("run", to=[1]),
    "run-unknown": setting("run", "evil", to=1),
    "run-steps": setting("run", "steps", to="many"),
    "run-steps-gone": lambda manifest: manifest["run"].pop("steps"),
    "run-environment": setting("run", "environment", to=["Pendulum-v1"]),
    "run-track": setting("run", "track", to=["../evil"]),
    "run-vectorization": setting("run", "vectorization", to="evil"),
    "best": setting("best", to="high"),
    "best-step": setting("best", "step", to="first"),
    "logs": setting("logs", to=5),
    "logs-mark": setting("logs", "episodes", to={"bytes": "all", "sha256": ""}),
    "step": setting("step", to=None),
    "seconds": setting("seconds", to="x"),
    "machine": setting("machine", to="fast"),
    "versions": setting("machine", "versions", to=[]),
    "evaluation": setting("evaluation", to={"returns": 3}),
    "spaces": setting("spaces", to=[]),
    "groups": setting("groups", to=[]),
    "segments": setting("segments", to={"buffer": {"rows": 1}}),
    "flag": setting("compiled", to="no"),
    "logs-negative": setting("logs", "episodes", "bytes", to=-5),
    "step-negative": setting("step", to=-1),
    "huge": setting("recent_return", to=10**400),
    "threads": setting("run", "threads", to=10**10),
    "file": lambda manifest: manifest["files"].update(
        {"\x1b[31mEVIL.safetensors": {"bytes": 1, "sha256": ""}}
    ),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_manifest_with_wrong_types_is_rejected_by_every_command(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in checkpoint.newest_first(run):
        forged(folder, WRONG_TYPES[name])
    for words in (COMMANDS[0] + ["--steps", "300"], *COMMANDS[1:4], *COMMANDS[6:]):
        assert main(words) == 2, words
        error = capsys.readouterr().err
        assert "manifest.json is invalid: " in error
        assert len(error.splitlines()) <= 3


EPISODES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "index-gone": lambda arrays: arrays.pop("episode.index"),
    "index-more": lambda arrays: arrays.update({"episode.index": np.zeros(3, np.int64)}),
    "index-negative": lambda arrays: arrays.update({"episode.index": np.array([-7])}),
    "observation-gone": lambda arrays: arrays.pop("observation"),
    "observation-none": lambda arrays: arrays.update(observation=np.zeros((0, 3), np.float32)),
    "actions-one": lambda arrays: arrays.update({"actions.0": np.array(1.0)}),
    "actions-wide": lambda arrays: arrays.update({"actions.0": np.zeros((5, 7), np.float32)}),
    "actions-nan": lambda arrays: arrays.update({"actions.0": np.full((5, 1), np.nan, np.float32)}),
    "pending": lambda arrays: arrays.update(
        {"pending.action": np.zeros((4, 4)), "pending.drawn": np.zeros((4, 4), np.float32)}
    ),
}


@pytest.mark.parametrize("name", EPISODES)
def test_episodes_of_other_environments_are_rejected(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run / "checkpoints" / "step-000000200"
    arrays = checkpoint.read_arrays(folder, "environments")
    EPISODES[name](arrays)
    data = safetensors.numpy.save(
        {key: np.asarray(array, order="C") for key, array in arrays.items()}
    )
    (folder / "environments.safetensors").write_bytes(data)
    record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    forged(folder, lambda manifest: manifest["files"].update({"environments.safetensors": record}))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) == 2
    assert "is inconsistent" in capsys.readouterr().err


CONTRADICTIONS = {"algorithm": "sac", "seed": 9, "num_envs": 2, "network": "Mine", "config": {}}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_run_config_that_contradicts_its_agent_is_rejected(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forged(run / "checkpoints" / "step-000000200", setting("run", name, to=CONTRADICTIONS[name]))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) == 2
    assert f"inconsistent manifest: run.{name} and {name} differ" in capsys.readouterr().err


@pytest.mark.parametrize("number", [None, -1])
def test_overlay_of_an_untrusted_agent(run: Path, number: Any) -> None:
    for folder in checkpoint.newest_first(run):
        forged(
            folder,
            setting("num_envs", to=number) if number else lambda manifest: manifest.pop("num_envs"),
        )
    assert main(["watch", "run", "--video", "video.gif", "--overlay"]) == 2


def test_overlay_needs_no_memory_for_each_environment(run: Path) -> None:
    """A forged number of environments cannot exhaust the memory of a probe without statistics."""
    for folder in checkpoint.newest_first(run):
        forged(folder, setting("num_envs", to=10**15))
    assert main(["watch", "run", "--video", "video.gif", "--overlay"]) == 0


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_manifest_is_rejected_with_a_message(run: Path, name: str) -> None:
    folder = run / "checkpoints" / "step-000000200"
    forged(folder, FORGERIES[name])
    with pytest.raises(UserError) as caught:
        Agent.load(folder)
    assert len(str(caught.value).splitlines()) <= 3
    assert main(["inspect", str(folder)]) in (0, 2)
