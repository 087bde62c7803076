"""Environments in processes of their own, for slow steps: all step at the same time.

Everything else is as in `SerialEnvironments`: the same seeds, checks and transitions, and the same
way to resume. Gymnasium's `AsyncVectorEnv` is not used: closing it fails after a worker has died,
an exception in a worker comes without the number of its environment (or never, if it cannot be
sent), and single environments cannot be put back into an earlier state.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from footlight.environments.calls import fault_of_call
from footlight.environments.episodes import WorkerLost
from footlight.environments.remote import Make, RemoteEnv, close_all
from footlight.environments.remote import Supervision as Supervision
from footlight.environments.running_statistics import remedy, statistics_wrappers
from footlight.environments.serial import SerialEnvironments
from footlight.errors import EnvironmentFault, RemoteError, UserError
from footlight.types import Array

T = TypeVar("T")

MAX_LOSSES = 3  # of workers at the same step


class AsyncEnvironments(SerialEnvironments):
    """E environments with a process each. Raises `UserError` if they cannot be made.

    If `supervision` says restart, losing a worker changes nothing: a new one reruns the episode
    from its seed, the last observation is compared, and the interrupted call is repeated.
    """

    def __init__(
        self,
        make: Make,
        num_envs: int,
        seed: int,
        stream: str,
        supervision: Supervision = Supervision(),  # noqa: B008
    ) -> None:
        remote: list[RemoteEnv] = []
        try:
            remote.extend(RemoteEnv(make, supervision.timeout) for _ in range(num_envs))
            for env in remote:
                env.learn_spaces()
            super().__init__(list(remote), seed, stream)
        except BaseException:
            close_all(remote)
            raise
        self.remote, self._make, self._supervision = remote, make, supervision

    def _step(self, env: int, action: Array) -> tuple[Any, Any, bool, bool, Mapping[str, Any]]:
        return self._supervised(env, partial(super()._step, env, action), self._replace_and_rerun)

    def _reset(self, env: int) -> Array:
        return self._supervised(env, partial(super()._reset, env), self._replace)

    def _supervised(self, env: int, call: Callable[[], T], replace: Callable[[int], None]) -> T:
        """Run `call`; restart lost workers and retry if supervision says so."""
        losses = 0
        while True:
            try:
                if losses:
                    replace(env)
                return call()
            except EnvironmentFault as fault:
                lost = fault.__cause__
                if not isinstance(lost, WorkerLost) or not self._supervision.restart:
                    raise
                losses += 1
                if losses == MAX_LOSSES:
                    what = f"{lost}; that was the {losses}rd time in a row"
                    raise self.tracker.fault(env, what) from lost
                step, seed = self.tracker.length[env], self.tracker.episode_seed(env)
                where = f"step {step} of the episode with seed {seed}"
                self._supervision.notify(f"environment {env}, {where}: {lost} - restarted")

    def _replace(self, env: int) -> None:
        """Start a new worker for `env`, with the statistics from the start of its episode.

        Raises `EnvironmentFault`.
        """
        self.remote[env].close()
        try:
            self.remote[env] = self.envs[env] = RemoteEnv(self._make, self._supervision.timeout)
            self.remote[env].learn_spaces()
        except UserError as error:
            what = f"its process was lost, and a new one cannot make it: {error}"
            raise self.tracker.fault(env, what) from error
        if not self._starts.knows(env):
            names = ", ".join(statistics_wrappers(self.remote[env]))
            what = f"its process was lost, and the running statistics of {names} with it"
            instead = f"use {remedy(names)} in place of the wrapper"
            raise self.tracker.fault(env, what, instead)
        self._starts.return_to(env)

    def _replace_and_rerun(self, env: int) -> None:
        """Start a new worker for `env` and rerun its episode up to the current step."""
        self._replace(env)
        try:
            observed, _ = self.remote[env].reset(seed=self.tracker.episode_seed(env))
            for action in () if self._history.is_empty(env) else self._history.of(env):
                observed, *_ = self.remote[env].step(self.given(action))
        except RemoteError as error:
            raise fault_of_call(self.tracker, env, "rerun in a new process, it", error) from error
        observation = self._as_observation(env, observed)
        if not np.array_equal(observation, self.observation[env]):
            what = "its process was lost, and its episode came out differently in a new one"
            instead = "an environment that is not deterministic cannot be restarted"
            raise self.tracker.fault(env, what, instead)

    def revive(self, env: int) -> None:
        """Make `env` usable again after a fault. Raises `EnvironmentFault`."""
        if self.remote[env].is_lost:
            self._replace(env)

    def _begin_steps(self, action: Array) -> None:
        for env, row in zip(self.remote, action, strict=True):
            env.ask("step", self.given(row))

    def _begin_resets(self, envs: Sequence[int]) -> None:
        super()._begin_resets(envs)
        for env in envs:
            self.remote[env].ask("reset", self.tracker.episode_seed(env))

    def name_of_first(self) -> str | None:
        """The name of the first environment."""
        return self.remote[0].name

    def close(self) -> None:
        """End all processes."""
        close_all(self.remote)
