"""One training of `doctor.py` in a process: its run folder, and what its policy reaches."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import gymnasium
from doctor_faults import FAULTS, Training
from doctor_healthy import HEALTHY, LONG

import footlight
from footlight.errors import FootlightError, describe_error

EPISODES = 10  # in which the trained policy is measured
MARK = "trained.json"


def training_of(name: str) -> Training:
    """A training with or without a mistake, by name."""
    return FAULTS[name].training if name in FAULTS else {**HEALTHY, **LONG}[name]


def folder_of(work: Path, name: str, seed: int) -> Path:
    """Where a run is."""
    letters = [letter if letter.isalnum() or letter in "-." else "-" for letter in name]
    return work / "".join(letters) / f"seed-{seed}"


def is_trained(folder: Path) -> bool:
    """Whether there is a complete run."""
    return (folder.parent / f"{folder.name}.{MARK}").exists()


def outcome_of(folder: Path) -> dict[str, Any]:
    """How a run ended: `return` of the task itself, `seconds` of processor time, `end`."""
    return json.loads((folder.parent / f"{folder.name}.{MARK}").read_text())


def make_run(name: str, seed: int, work: Path) -> str:
    """Train, unless that has been done, and return a line about it."""
    folder = folder_of(work, name, seed)
    if not is_trained(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        outcome = train(training_of(name), seed, folder)
        (folder.parent / f"{folder.name}.{MARK}").write_text(json.dumps(outcome))
    outcome = outcome_of(folder)
    reached = "none" if outcome["return"] is None else f"{outcome['return']:.0f}"
    return f"{name}, seed {seed}: return {reached}, {outcome['seconds']:.0f} s, {outcome['end']}"


def train(training: Training, seed: int, folder: Path) -> dict[str, Any]:
    """Train; a run that fails before it has a folder raises, one that diverges later does not."""
    start, end = time.process_time(), "ended"
    arguments = {"preset": False, **training.arguments()}
    try:
        footlight.train(**arguments, seed=seed, run_dir=folder, quiet=True, threads=1)
    except FootlightError as error:
        if not (folder / "config.json").exists():
            raise
        end = describe_error(error).splitlines()[0]
    seconds = time.process_time() - start
    return {"return": return_of(training, folder), "seconds": round(seconds, 1), "end": end}


class Summed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Sums the rewards of the task itself, below all other wrappers."""

    total = 0.0

    def step(self, action: Any) -> Any:
        """One step."""
        result = self.env.step(action)
        self.total += float(result[1])
        return result


def return_of(training: Training, folder: Path) -> float | None:
    """The mean return of the task itself, with its own rewards; None without a checkpoint."""
    own = None if isinstance(training.algorithm, str) else training.algorithm
    try:
        policy = footlight.load(folder, algorithm=own, network=training.network)
    except FootlightError:
        return None
    if training.environment.startswith("ALE/"):
        lines = (folder / "evaluations.jsonl").read_text().splitlines()
        return float(json.loads(lines[-1])["mean_return"])
    summed = Summed(gymnasium.make(training.environment))
    env: Any = summed if training.wrapper is None else training.wrapper(summed)
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=1_000 + episode)
        is_over = False
        while not is_over:
            observation, _, terminated, truncated, _ = env.step(policy.act(observation))
            is_over = terminated or truncated
    return summed.total / EPISODES
