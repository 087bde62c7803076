"""Collectors in this process, which tests can lose when they want, and runs with collectors."""

import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from footlight.collection.chunks import CollectorLost, Task
from footlight.collection.collection import Collection
from footlight.collection.collector import Collector, Plan
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.learning.agent import Agent
from footlight.storage import checkpoint

SMALL: dict[str, Any] = {
    "preset": False, "hidden_sizes": (8,), "compile": "off", "quiet": True, "eval_episodes": 1,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {  # with checkpoints in the middle of rounds
    "ppo": {
        "environment": "CartPole-v1", "num_envs": 4, "n_steps": 16, "minibatch_size": 32,
        "steps": 400, "checkpoint_every": 150, "normalize_observations": True,
    },
    "impala": {
        "environment": "CartPole-v1", "num_envs": 4, "n_steps": 8, "steps": 400,
        "checkpoint_every": 150,
    },
    "td3": {
        "environment": "Pendulum-v1", "num_envs": 2, "n_steps": 3, "learning_starts": 220,
        "steps": 300, "checkpoint_every": 110, "batch_size": 16,
    },
}  # fmt: skip


class InProcess:
    """A collector in this process. It is lost before the answers with the numbers in `losses`."""

    losses: ClassVar[set[int]] = set()
    answered: ClassVar[int] = 0
    methods: ClassVar[list[str]] = []
    tasks: ClassVar[list[tuple[int, Task]]] = []

    def __init__(self, plan: Plan, index: int, others: Sequence[Any]) -> None:
        self.collector, self.index = Collector(plan, index), index
        self.requests: deque[tuple[str, Any]] = deque()

    def ask(self, method: str, given: Any) -> None:
        self.requests.append((method, given))
        if method == "collect":
            InProcess.tasks.append((self.index, given))

    def answer(self, seconds: float) -> Any:
        InProcess.answered += 1
        if InProcess.answered in InProcess.losses:
            raise CollectorLost("it was lost on purpose")
        method, given = self.requests.popleft()
        InProcess.methods.append(method)
        return getattr(self.collector, method)(given)

    def close(self) -> None:
        self.collector.close()

    def join(self) -> None:
        pass


def collection_of(
    environment: Any, num_envs: int, num_collectors: int = 2, seed: int = 0
) -> Collection:
    """Collectors of so many environments each, in this process."""
    InProcess.losses, InProcess.answered, InProcess.tasks = set(), 0, []
    source, wanted = EnvironmentSource.of(environment).configured(), Wanted(seed, num_envs)
    return Collection(source, wanted, num_collectors, InProcess, print)


def agent_for(collection: Collection, algorithm: str, **fields: Any) -> Agent:
    """An agent that learns from what is collected."""
    spaces = collection.observation_space, collection.action_space
    return Agent(
        algorithm, *spaces, num_envs=collection.num_envs, compile="off", hidden_sizes=(8,), **fields
    )


def digests(run_dir: Path) -> dict[str, Any]:
    """The content of a run's newest checkpoint and logs, without times."""
    manifest = checkpoint.read_manifest(checkpoint.find(run_dir))
    files = {name: manifest["files"][file] for name, file in manifest["groups"].items()}
    logs = {}
    for name in ("metrics", "episodes", "evaluations"):
        path = run_dir / f"{name}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
        logs[name] = [{key: row[key] for key in row if key != "time_s"} for row in rows]
    return {"step": manifest["step"], "files": files, **logs}
