"""A run in progress: the state that the loop, the hooks and the saver share."""

from collections.abc import Mapping
from typing import Any

from footlight.collection.collection import Collection
from footlight.config.options import Options
from footlight.environments.make import Environments
from footlight.environments.reproduce import SurvivedFaults
from footlight.errors import StorageFault
from footlight.instruments.progress import Display
from footlight.learning.agent import Agent
from footlight.runs.folder import RunFolder
from footlight.signals import Interruption
from footlight.training.loop import PendingAction


class Session:
    """Agent, environments, options, run folder and display of a run in progress."""

    def __init__(
        self,
        agent: Agent,
        environments: Environments | Collection,
        options: Options,
        folder: RunFolder,
        display: Display,
        interruption: Interruption,
        run_config: Mapping[str, Any],
    ) -> None:
        self.agent, self.environments, self.options = agent, environments, options
        self.folder, self.display, self.interruption = folder, display, interruption
        self.run_config = run_config
        """The content of `config.json`, which every checkpoint repeats."""
        self.seconds = 0.0
        """Duration of the loop, over all sessions of the run."""
        self.save_failures = 0
        """Checkpoints in a row that could not be written."""
        self.stop_reason: str | None = None
        """Why a hook ends the training after this step; None: it continues."""
        self.pending = PendingAction()
        self.faults = SurvivedFaults(folder.path, run_config, display.notify)
        if options.on_env_fault == "new-episode":
            environments.on_fault = self.faults
        if isinstance(environments, Collection):
            environments.on_not_restored = self.report_not_restored
            environments.begin(agent)

    def compile(self) -> None:
        """Compile the updates if that is configured. A new run begins meanwhile."""
        is_wanted = self.agent.compiled  # The agent gives it up if there is no compiler.
        if not is_wanted:
            return
        is_new = self.agent.num_steps == 0
        self.agent.compile(ahead=is_new)
        compilation = self.agent.learner.compilation
        if self.agent.compiled:
            if compilation.announce.is_made and not compilation.is_waiting:
                self.display.notify(f"compiled in {compilation.seconds:.1f} s")
        elif not is_new:  # Eager numbers are rounded differently.
            self.mark_not_reproducible("resumed without the compiler that it began with")

    def report_not_restored(self, envs: list[int]) -> None:
        """Print and record that new episodes begin in environments whose state is lost."""
        names = ", ".join(map(str, envs))
        self.display.notify(
            f"environment {names} cannot be restored to its state - a new episode begins "
            "there, and the run will differ from an uninterrupted one"
        )
        step = self.agent.num_steps
        self.mark_not_reproducible(
            f"an environment could not be restored to its state at step {step:,}"
        )

    def mark_not_reproducible(self, reason: str) -> None:
        """Record and print a reason why the run is no longer reproducible."""
        self.display.notify(self.record_not_reproducible(reason))

    def record_not_reproducible(self, reason: str) -> str:
        """Record a reason why the run is no longer reproducible; return the line to print."""
        known = self.run_config["resume"]
        if reason not in known:
            reasons = reason if known == "exact" else f"{known}; {reason}"
            self.run_config = {**self.run_config, "resume": reasons}
        return f"not reproducible: {reason} - numbers may differ from an uninterrupted run's"

    def append_metrics(self, metrics: Mapping[str, float]) -> None:
        """Append a row to `metrics.jsonl`."""
        counts = {"step": self.agent.num_steps, "update": self.agent.num_updates}
        row = {**counts, "time_s": round(self.seconds, 3), **metrics}
        self.folder.append("metrics", row)

    def flush_logs(self) -> None:
        """Write the log lines. After a failure they wait in memory: saving decides for how long."""
        try:
            self.folder.flush()
        except StorageFault as fault:
            if not self.save_failures:
                self.display.notify(f"{fault}\ncontinuing; log lines wait in memory")

    def state(self) -> dict[str, Any]:
        """The counters of the session, for a checkpoint's manifest."""
        return {"seconds": self.seconds, "env_faults": self.faults.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.seconds = float(state["seconds"])
        self.faults.count = state.get("env_faults", 0)
