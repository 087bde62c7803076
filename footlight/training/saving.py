"""Checkpoints of a run: when they are written, disk failures and retries, rollback, restoring."""

import time
from collections.abc import Sequence
from pathlib import Path

from footlight.algorithms.protocol import Ringed
from footlight.collection.collection import Collection
from footlight.errors import Diverged, StorageFault, UserError
from footlight.instruments.progress import MEAN_OF
from footlight.learning import saved_agent
from footlight.machine import describe_machine, describe_products
from footlight.runs.lock import require_held
from footlight.runs.read import last_returns
from footlight.storage import checkpoint
from footlight.storage.files import make_own_folder
from footlight.storage.manager import CheckpointManager
from footlight.streams import Streams, derived_seed
from footlight.training.evaluator import Evaluator
from footlight.training.hooks import Stateful
from footlight.training.loop import Step
from footlight.training.restoration import announce_restoration, check_restoration
from footlight.training.session import Session
from footlight.types import Array

MAX_ROLLBACKS = 2  # of a run that diverges, each to the newest checkpoint
MAX_FAILURES = 3  # checkpoints in a row that could not be written
FINAL_SAVE_RETRIES = (1.0, 5.0)  # seconds before each further attempt to write the last one
# The array of a checkpoint whose step has failed: the action that is tried again.
_PENDING = "pending.action"


class Saver:
    """A hook that writes checkpoints, and everything else about them.

    parts: what has state besides the agent and its environments.
    other_environment: the name of an environment given in place of the recorded one.
    """

    def __init__(
        self,
        session: Session,
        evaluator: Evaluator,
        parts: Sequence[Stateful],
        other_environment: str | None = None,
    ) -> None:
        self.session, self._evaluator = session, evaluator
        self._parts = [session, *parts]
        self._other_environment = other_environment
        self._saved_config = session.run_config
        self._interval = session.options.checkpoint_interval
        self._rollbacks = 0
        self.checkpoints = CheckpointManager(session.folder.path, session.options.keep_checkpoints)

    def begin(self) -> None:
        """Write the first checkpoint of a new run: from here on it can be resumed."""
        self.checkpoints.create()
        self.save()

    def __call__(self, step: Step) -> None:
        """Save if a checkpoint is due or asked for, or if this step has the best evaluation."""
        due = step.crosses(self._interval) or self.session.interruption.wants_checkpoint
        best = self._interval > 0 and self._evaluator.is_best(step.number)
        if (due or best) and not step.is_last:
            self.save_or_skip()

    def save(self) -> None:
        """Write a checkpoint, update LATEST and BEST, and remove old checkpoints.

        Raises `Diverged` if the state is not finite, and `StorageFault`.
        """
        session, agent = self.session, self.session.agent
        agent.learner.require_finite()
        manifest = saved_agent.manifest(agent)
        manifest |= {"step": agent.num_steps, "rollbacks": self._rollbacks}
        for part in self._parts:
            manifest |= part.state()
        manifest |= {
            "logs": session.folder.log_digests(),
            "run": session.run_config,
            "machine": {**describe_machine(), **describe_products(agent.compiled)},
        }
        require_held(session.folder.path)
        environments = {**session.environments.arrays(), **self._pending_arrays()}
        groups = {**saved_agent.groups(agent), "environments": environments}
        spans: dict[str, checkpoint.RingPosition] = {}
        if isinstance(agent.buffer, Ringed):
            rings = agent.buffer.spans()
            spans = {name: checkpoint.RingPosition(*span) for name, span in rings.items()}
        best = self._evaluator.best
        best_step = int(best["step"]) if best else None
        self.checkpoints.save(agent.num_steps, groups, manifest, {"buffer": spans}, best_step)
        if session.run_config != self._saved_config:
            session.folder.write_json("config.json", session.run_config)
            self._saved_config = session.run_config

    def save_or_skip(self) -> None:
        """Save; if that fails, continue without this checkpoint. The disk may have room next time.

        Raises `StorageFault` after `MAX_FAILURES` failures in a row.
        """
        session = self.session
        session.interruption.wants_checkpoint = False
        try:
            self.save()
            session.save_failures = 0
        except StorageFault as fault:
            session.save_failures += 1
            if session.save_failures == MAX_FAILURES:
                raise
            count = f"{session.save_failures} of {MAX_FAILURES} failures"
            session.display.notify(f"{fault}\ncontinuing without this checkpoint ({count})")

    def save_finally(self) -> None:
        """Write the last checkpoint, with further attempts. Raises what `save` raises."""
        for pause in FINAL_SAVE_RETRIES:
            try:
                return self.save()
            except StorageFault as fault:
                self.session.display.notify(f"{fault}\ntrying again in {pause:.0f} s")
                time.sleep(pause)
        self.save()

    def save_run_config(self) -> None:
        """If the run config has changed, save it in a new checkpoint and in `config.json`."""
        if self.session.run_config != self._saved_config:
            self.save()

    def roll_back(self, error: Diverged) -> None:
        """Keep the batch that the agent diverged on, and restore the newest checkpoint.

        The run continues with other random numbers. Raises `error` after `MAX_ROLLBACKS` rollbacks.
        """
        session, number = self.session, self._rollbacks + 1
        good = self._newest_intact()
        where = self._keep_batch(number, error)
        if number > MAX_ROLLBACKS or good is None:
            raise Diverged(
                f"{error}\n{where}; rolling back has not helped {MAX_ROLLBACKS} times"
            ) from error
        saved_agent.restore(session.agent, good)
        if isinstance(session.environments, Collection):
            session.environments.rollbacks = number
        self.restore(good)
        self._rollbacks = number
        session.agent.streams = Streams(derived_seed(session.options.seed, "rollback", number))
        self.save_run_config()
        session.display.notify(
            f"{error}\n{where}; continuing from {good.name} with other random numbers "
            f"({number} of {MAX_ROLLBACKS})"
        )

    def _newest_intact(self) -> Path | None:
        notify = self.session.display.notify
        try:
            return checkpoint.find(self.session.folder.path, notify)
        except UserError as error:
            notify(str(error))
            return None

    def _keep_batch(self, number: int, error: Diverged) -> str:
        """Save the agent's last batch in the run folder; return where, for a message."""
        session = self.session
        kept = session.folder.path / "crash" / f"diverged-{number}"
        facts = {"message": str(error), "step": session.agent.num_steps}
        try:
            make_own_folder(kept.parent)
            checkpoint.write(kept, {"batch": session.agent.learner.batch()}, facts)
        except (OSError, StorageFault) as fault:
            return f"the batch could not be saved: {fault}"
        return f"the batch is in {kept}"

    def restore(self, folder: Path) -> None:
        """Continue from a checkpoint that the agent has been restored from. Raises `UserError`.

        Logs are truncated to where they were, and environments restored to their state.
        """
        session = self.session
        manifest = checkpoint.read_manifest(folder)
        with checkpoint.as_user_error(folder):
            for part in self._parts:
                part.restore(manifest)
            self._rollbacks = manifest["rollbacks"]
            digests, self._saved_config = manifest["logs"], manifest["run"]
        self.checkpoints.resume_from(folder)
        self._restore_environments(folder)
        for loss in session.folder.truncate(digests):
            session.display.notify(loss)
        session.display.show_returns(last_returns(session.folder.path, MEAN_OF))

    def _restore_environments(self, folder: Path) -> None:
        session, agent = self.session, self.session.agent
        arrays = checkpoint.read_arrays(folder, "environments")
        action = session.pending.action = arrays.get(_PENDING)
        steps = announce_restoration(arrays, session.display.notify)
        with checkpoint.as_user_error(folder):
            if action is not None and len(action) != session.environments.num_envs:
                raise ValueError(f"{_PENDING} has {len(action)} rows")
            not_restored = session.environments.restore(arrays)
        other, config = self._other_environment, session.run_config
        if (reason := check_restoration(other, config, bool(not_restored), steps)) is not None:
            session.mark_not_reproducible(reason)
        if not_restored:
            session.pending.action = None  # It was chosen for observations that no longer exist.
            agent.forget_episodes(not_restored)
            session.report_not_restored(not_restored)

    def _pending_arrays(self) -> dict[str, Array]:
        action = self.session.pending.action
        return {} if action is None else {_PENDING: action}
