"""One run of `mujoco_suite.py` in a process of its own: footlight's, or a peer's.

    python benchmarks/mujoco_runs.py JOB FOLDER

JOB is a JSON document: method, environment, seed, steps, every. FOLDER receives `finished.json`
with the evaluations of the whole run, and a run that was interrupted continues from its newest
checkpoint; one of a peer, which has none, begins again. The process saves and ends as soon as its
standard input is closed. For a peer it runs under the peers' interpreter, without footlight.
"""

import dataclasses
import fcntl
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from report import commit, cpu_model

if TYPE_CHECKING:
    from footlight.learning.evaluation import Evaluation
    from footlight.training.hook_context import HookContext

EPISODES = 10  # of an evaluation
PEER_VALUES: dict[str, float] = {
    "learning_rate": 3e-4,
    "batch_size": 256,
    "buffer_size": 1_000_000,
    "learning_starts": 10_000,
    "gamma": 0.99,
    "tau": 0.005,
}
"""Those of SAC's presets without a learning rate of their own."""
PEERS = {
    "sb3-sac": ("stable_baselines3", "SAC", PEER_VALUES),
    "sb3-tqc": ("sb3_contrib", "TQC", PEER_VALUES | {"top_quantiles_to_drop_per_net": 2}),
}
"""The peers' methods: module, class, and the arguments that can be overridden."""
PEER_PACKAGES = ("stable-baselines3", "sb3-contrib", "torch", "gymnasium", "mujoco", "numpy")
Row = tuple[int, float, float]  # step, mean return, CPU seconds


class Job(NamedTuple):
    """A run to be made."""

    method: str
    environment: str
    seed: int
    steps: int
    every: int
    """Environment steps between evaluations."""

    def folder(self, work: Path) -> Path:
        """The folder of the run."""
        parts = (self.environment, self.method, f"seed-{self.seed}-{self.steps}")
        return work.joinpath(*(part.replace("/", "-") for part in parts))


def split_method(method: str) -> tuple[str, dict[str, str]]:
    """The name of an algorithm and the fields of `NAME:field=value,field=value`."""
    name, _, text = method.partition(":")
    pairs = (pair.partition("=") for pair in text.split(",") if text)
    return name, {key.strip().replace("-", "_"): value.strip() for key, _, value in pairs}


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is complete whenever it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended, such as the compiler's."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Rows:
    """The evaluations of a run with its CPU seconds, without those of the evaluations.

    As a hook of footlight, its state is part of each checkpoint: the seconds of a resumed run
    continue from those of its checkpoint.
    """

    def __init__(self, steps: int, every: int) -> None:
        self._steps, self._every = steps, every
        self._rows: list[Row] = []
        self._not_counted = 0.0
        self._before = 0.0

    def begin(self) -> None:
        """Note the time at which an evaluation begins."""
        self._before = cpu_seconds()

    def end(self, step: int, mean_return: float) -> None:
        """Add the row of the evaluation that has begun."""
        # Several environments can step over a multiple
        at = step // self._every * self._every if step < self._steps else self._steps
        self._rows.append((at, mean_return, round(self._before - self._not_counted, 2)))
        self._not_counted += cpu_seconds() - self._before

    def request(self, training: "HookContext") -> None:
        """Ask for an evaluation, after which the hook itself is called."""
        self.begin()
        training.request_evaluation()

    def __call__(self, training: "HookContext", evaluation: "Evaluation") -> None:
        """Add the row of an evaluation."""
        self.end(training.step, evaluation.mean_return)

    def state(self) -> dict[str, Any]:
        """The rows, and the CPU seconds so far."""
        return {"rows": self._rows, "cpu_seconds": cpu_seconds() - self._not_counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self._rows = [tuple(row) for row in state["rows"]]
        self._before = cpu_seconds()  # in case an interrupted evaluation comes first
        self._not_counted = self._before - state["cpu_seconds"]


def train_ours(job: Job, folder: Path) -> tuple[list[Row], str]:
    """Train or resume; return the evaluations, and the values that are not the defaults."""
    import footlight
    from footlight.storage import checkpoint

    run_dir = folder / "run"
    rows, (name, fields) = Rows(job.steps, job.every), split_method(job.method)
    values: dict[str, Any] = {**fields}
    hooks = [
        footlight.every(job.every, rows.request),
        footlight.every(job.steps, rows.request),  # `every` need not divide `steps`
        footlight.on_evaluation(rows),
    ]
    if not any(run_dir.glob("checkpoints/*/manifest.json")):
        shutil.rmtree(run_dir, ignore_errors=True)  # of a run that was killed before the first
        footlight.train(
            name, job.environment, run_dir=run_dir, quiet=True, hooks=hooks, seed=job.seed,
            steps=job.steps, eval_every=0, eval_episodes=EPISODES, threads=1, **values,
        )  # fmt: skip
    elif (footlight.Run(run_dir).result or {}).get("status") != "finished":
        footlight.resume(run_dir, quiet=True, hooks=hooks)
    manifest = checkpoint.read_manifest(checkpoint.find(run_dir, groups=[]))
    states = [hook["state"] for hook in manifest["hooks"] if hook["name"] == Rows.__name__]
    return states[0]["rows"], describe_values(name, manifest["run"])


def describe_values(name: str, run_config: Mapping[str, Any]) -> str:
    """The fields of a run's config that are not the defaults, as `key=value key=value`."""
    from footlight.algorithms import config_class
    from footlight.config.fields import describe_value

    defaults = {each.name: each.default for each in dataclasses.fields(config_class(name))}
    values = {"num_envs": run_config["num_envs"], **run_config["config"]}
    changed = {
        key: value
        for key, value in values.items()
        if json.dumps(value) != json.dumps(defaults.get(key, 1))
    }
    return " ".join(f"{key}={describe_value(value)}" for key, value in changed.items())


def train_peer(job: Job) -> tuple[list[Row], str]:
    """Train a peer; return its evaluations, and the versions of its packages."""
    import torch
    from peers import evaluate
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(1)
    rows = Rows(job.steps, job.every)

    class Evaluations(BaseCallback):
        """Evaluates at each multiple of `every`, and at the end."""

        def _on_step(self) -> bool:
            if self.num_timesteps % job.every == 0 or self.num_timesteps == job.steps:
                rows.begin()
                returns = evaluate(self.model, job.environment, job.seed, EPISODES)
                rows.end(self.num_timesteps, sum(returns) / EPISODES)
            return True

    peer, given = split_method(job.method)
    module, name, values = PEERS[peer]
    values = values | {field: json.loads(value) for field, value in given.items()}
    policy: dict[str, Any] = {"net_arch": [256, 256]}
    if peer == "sb3-tqc":
        policy["n_critics"] = 2
    model = getattr(importlib.import_module(module), name)(
        "MlpPolicy", job.environment, seed=job.seed, device="cpu", policy_kwargs=policy, **values
    )
    model.learn(job.steps, callback=Evaluations(), log_interval=None)
    versions = [f"{each}={version(each)}" for each in PEER_PACKAGES]
    return rows.state()["rows"], " ".join([*(f"{k}={v}" for k, v in values.items()), *versions])


def version(package: str) -> str:
    """The version of an installed package; `none` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def end_with_parent() -> None:
    """End as after SIGTERM, which saves the run, once nobody holds the other end of stdin."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def make(job: Job, folder: Path) -> None:
    """Make the run, and write `finished.json`."""
    found = commit()
    is_peer = split_method(job.method)[0] in PEERS
    rows, values = train_peer(job) if is_peer else train_ours(job, folder)
    run = {
        "environment": job.environment,
        "method": job.method,
        "seed": job.seed,
        "steps": job.steps,
        "commit": found,
        "machine": cpu_model(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "values": values,
    }
    write_atomically(folder / "finished.json", json.dumps({"run": run, "rows": rows}))


def main() -> int:
    """Make the run of the command line unless it is finished; errors are one last line."""
    job, folder = Job(**json.loads(sys.argv[1])), Path(sys.argv[2]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    end_with_parent()
    with open(folder / "lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a process whose parent was killed may still be saving
        if not (folder / "finished.json").exists():
            try:
                make(job, folder)
            except Exception as error:
                traceback.print_exc()
                print(" ".join(f"{type(error).__name__}: {error}".split()), file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
