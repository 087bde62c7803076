"""Environments in processes of their own, for those whose steps take long: all step at the same time.

Everything else is `SerialEnvironments`: the same seeds, checks and transitions, and the same way to continue after a stop.
Gymnasium's `AsyncVectorEnv` is not used: closing it after a worker has died fails, what a worker raises comes without the number
of its environment (or never, where it cannot be sent), and single environments cannot be put back to where they stood.
"""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from footlight.contexts import close
from footlight.environments.atari import LIFE_LOST
from footlight.environments.episodes import WorkerLost, as_observation
from footlight.environments.interface import (
    InterfaceError,
    as_flag,
    old_interface,
    reset_answer,
    step_answer,
)
from footlight.environments.naming import name_of_instance
from footlight.environments.processes import (
    describe_end,
    may_start_processes,
    start_method,
    use_one_thread,
)
from footlight.environments.serial import SerialEnvironments
from footlight.environments.wrappers import (
    read_statistics,
    remedy,
    reward_wrappers,
    statistics_wrappers,
    write_statistics,
)
from footlight.errors import EnvironmentFault, RemoteError, UserError, in_words
from footlight.types import Array

Make = Callable[[], gymnasium.Env[Any, Any]]
T = TypeVar("T")

CLOSING_SECONDS = 5.0  # for a worker to finish its step and close its environment
LOOKING_SECONDS = 1.0  # between two looks whether the other process is still there
MOST_LOSSES = 3  # of workers at the same step
CANNOT_START = "no process can be started for an environment"


@dataclass(frozen=True)
class Supervision:
    """What is done about workers that die or do not answer."""

    timeout: float = 300.0  # seconds after which one counts as hanging and is ended; 0: never
    restart: bool = False  # a new one takes the place of one that is lost
    say: Callable[[str], None] = lambda text: None


class RemoteEnv(gymnasium.Env[Any, Any]):
    """An environment in a process of its own, which has `timeout` seconds for each answer (0: as many as it takes).

    `ask` begins a call and `step` or `reset` gives its result, so that others can begin in between.
    """

    def __init__(self, make: Make, timeout: float = Supervision.timeout) -> None:
        context = start_method()
        self._connection, theirs = context.Pipe()
        self._owner = os.getpid()
        _close_with_this_process()
        _OURS.add(self)
        arguments = CloudpickleWrapper(make), theirs, os.getpid()
        # A daemon, so that multiprocessing does not wait for it at its end, until it runs: `_serve`
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            with may_start_processes(), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # fork beside threads: see `use_one_thread`
                self._process.start()
        except Exception as error:  # no memory, too many processes; or a function that cannot be pickled for a spawned process
            self._connection.close()
            raise UserError(
                f"{CANNOT_START} - {in_words(error)} - use vectorization sync"
            ) from error
        finally:
            theirs.close()
        self._timeout = timeout
        self._asked = True  # the first answer is what spaces there are
        self._lost: str | None = None  # how it ended

    def learn_spaces(self) -> None:
        """Wait until the environment is made. Raises `UserError` where it cannot be."""
        try:
            self.observation_space, self.action_space, self.name = self._answer()
        except WorkerLost as lost:
            raise UserError(
                f"the environment was not made in its process - {lost} - find out what it waits for or what ended it, or use "
                "vectorization sync"
            ) from lost
        except RemoteError as error:
            raise UserError(str(error)) from error

    def ask(self, method: str, *given: Any) -> None:
        """Begin `method`."""
        if self._asked:  # an answer that nobody waited for, after a fault beside it
            with contextlib.suppress(RemoteError):
                self._answer()
        self._asked = True
        with contextlib.suppress(OSError):  # the process has died: the answer will say so
            self._connection.send((method, given))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The result of a step. Raises `RemoteError`."""
        if not self._asked:
            self.ask("step", action)
        observed, reward, terminated, truncated, life_lost = self._answer()
        return observed, reward, terminated, truncated, {LIFE_LOST: life_lost}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The result of a reset. Raises `RemoteError`."""
        if not self._asked:
            self.ask("reset", seed)
        return self._answer(), {}

    def call_remote(self, name: str, *given: Any) -> Any:
        """Call a function of `footlight.environments.wrappers` in the process; return an empty result if the process is lost."""
        try:
            self.ask(name, *given)
            return self._answer()
        except RemoteError:
            return {}

    def _answer(self) -> Any:
        if self._lost is not None:
            raise WorkerLost(self._lost)
        try:
            self._wait()
            good, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._lose(None) from error
        except WorkerLost:
            raise
        except Exception as error:  # such as an observation of a class that is not known here
            good, answer = False, f"its result cannot be read ({in_words(error)})"
        self._asked = False
        if not good:
            raise InterfaceError(*answer) if isinstance(answer, tuple) else RemoteError(answer)
        return answer

    def _wait(self) -> None:
        """Until there is an answer. Raises `WorkerLost`."""
        pause = min(LOOKING_SECONDS, self._timeout or LOOKING_SECONDS)
        waited = 0.0  # counted in pauses: while this process is stopped, as by Ctrl-Z, nobody waits
        while not self._connection.poll(
            pause
        ):  # the end of the process is an answer, too: its end of the pipe closes
            waited += pause
            if not self._process.is_alive():  # and a process that it began holds that end open
                raise self._lose(None)
            if self._timeout and waited >= self._timeout:
                raise self._lose(
                    f"its process did not answer for {self._timeout:g} s and was ended"
                )

    def _lose(self, how: str | None) -> WorkerLost:
        if how is None:
            self._process.join(LOOKING_SECONDS)
            how = describe_end(self._process.exitcode)
        self._process.kill()
        self._process.join()
        self._lost = how
        return WorkerLost(how)

    @property
    def is_lost(self) -> bool:
        """Whether its process has ended."""
        return self._lost is not None

    def leave(self) -> None:
        """Let the process end, without waiting for it."""
        self._connection.close()

    def close(self, patience: float | None = None) -> None:
        """End the process, by force where it does not end by itself in these seconds (None: `CLOSING_SECONDS`)."""
        self.leave()
        if self._owner != os.getpid() or self._process.pid is None:
            return  # a fork's copy of another process's worker, or one that could not be started
        self._process.join(CLOSING_SECONDS if patience is None else patience)
        self._process.kill()
        self._process.join()


_OURS: weakref.WeakSet[RemoteEnv] = (
    weakref.WeakSet()
)  # of this process: a worker inherits the list, and closes its copies
_closing: list[
    int
] = []  # id of the process that closes open workers at its end; a fork has another id


def _close_with_this_process() -> None:
    """Close all workers before multiprocessing joins its children; also in its own processes, where atexit does not run."""
    if os.getpid() not in _closing:
        _closing[:] = [os.getpid()]
        multiprocessing.util.Finalize(None, _close_all, exitpriority=100)


class AsyncEnvironments(SerialEnvironments):
    """E environments with a process each. Raises `UserError` where they cannot be made.

    Where `supervision` says restart, a worker that is lost changes nothing: in a new one the episode is played again from its
    seed, the last observation compared, and what was asked is asked again.
    """

    def __init__(
        self, make: Make, num_envs: int, seed: int, stream: str, supervision: Supervision = Supervision()
    ) -> None:  # fmt: skip
        remote: list[RemoteEnv] = []
        try:
            remote.extend(RemoteEnv(make, supervision.timeout) for _ in range(num_envs))
            for env in remote:
                env.learn_spaces()
            super().__init__(list(remote), seed, stream)
        except BaseException:
            _close(remote)
            raise
        self.remote, self._make, self._supervision = remote, make, supervision

    def _step(self, env: int, action: Array) -> tuple[Any, Any, bool, bool, bool]:
        return self._lasting(env, partial(super()._step, env, action), self._replace_and_replay)

    def _reset(self, env: int) -> Array:
        return self._lasting(env, partial(super()._reset, env), self._replace)

    def _lasting(self, env: int, call: Callable[[], T], replace: Callable[[int], None]) -> T:
        """What `call` gives, with a new worker for each one that is lost meanwhile, where that is wanted."""
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
                if losses == MOST_LOSSES:
                    raise self.book.fault(
                        env, f"{lost}; that was the {losses}rd time in a row"
                    ) from lost
                where = f"step {self.book.length[env]} of the episode with seed {self.book.episode_seed(env)}"
                self._supervision.say(f"environment {env}, {where}: {lost} - restarted")

    def _replace(self, env: int) -> None:
        """A new worker for `env`. Raises `EnvironmentFault`."""
        self.remote[env].close()
        try:
            self.remote[env] = self.envs[env] = RemoteEnv(self._make, self._supervision.timeout)
            self.remote[env].learn_spaces()
        except UserError as error:
            raise self.book.fault(
                env, f"its process was lost, and a new one cannot make it: {error}"
            ) from error
        if names := ", ".join(statistics_wrappers(self.remote[env])):
            what = f"its process was lost, and the running statistics of {names} with it"
            raise self.book.fault(
                env, what, f"use {remedy(names)} in place of the wrapper; the state is saved"
            )

    def _replace_and_replay(self, env: int) -> None:
        """The same, with its episode at the step before the one that is being made."""
        self._replace(env)
        try:
            observed, _ = self.remote[env].reset(seed=self.book.episode_seed(env))
            for action in self._taken(env) if self._actions[env] else ():
                observed, *_ = self.remote[env].step(self.given(action))
        except RemoteError as error:
            raise self._failed(env, "played again in a new process, it", error) from error
        observation = as_observation(self.book, env, observed, self._shape, self._dtype)
        if not np.array_equal(observation, self.observation[env]):
            what = (
                "its process was lost, and played again in a new one its episode came out elsewhere"
            )
            raise self.book.fault(
                env,
                what,
                "an environment that does not repeat itself cannot be restarted; the state is saved",
            )

    def revive(self, env: int) -> None:
        """Make `env` usable again after a fault. Raises `EnvironmentFault`."""
        if self.remote[env].is_lost:
            self._replace(env)

    def _ask_steps(self, action: Array) -> None:
        for env, row in zip(self.remote, action, strict=True):
            env.ask("step", self.given(row))

    def _ask_resets(self, envs: Sequence[int]) -> None:
        for env in envs:
            self.remote[env].ask("reset", self.book.episode_seed(env))

    def name_of_first(self) -> str | None:
        """The name of the first environment."""
        return self.remote[0].name

    def close(self) -> None:
        """End all processes."""
        _close(self.remote)


def _close(remote: Sequence[RemoteEnv]) -> None:
    for env in remote:
        env.leave()
    deadline = time.monotonic() + CLOSING_SECONDS  # all end at the same time
    for env in remote:
        env.close(max(0.0, deadline - time.monotonic()))


def _close_all() -> None:
    _close(list(_OURS))


def _serve(make: Make, connection: Connection, parent: int) -> None:
    """What a worker does: make the environment, then step and reset it until the other end is closed."""
    multiprocessing.current_process().daemon = False  # so that the environment may start processes
    use_one_thread()
    for name in (
        "SIGINT",
        "SIGTERM",
        "SIGUSR1",
    ):  # may reach all processes of a terminal or a job; the first one decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for inherited in list(
        _OURS
    ):  # by a fork, which would keep them open when the other process closes them
        inherited.leave()
    env: gymnasium.Env[Any, Any] | None = None
    try:
        try:
            env = make()
        except BaseException as error:  # also sys.exit()
            _send(connection, (False, in_words(error)))
            return
        _send(connection, (True, (env.observation_space, env.action_space, name_of_instance(env))))
        while True:
            method, given = connection.recv()
            try:
                answer = True, _ANSWERS[method](env, *given)
            except BaseException as error:
                slip = old_interface(method, error)
                answer = False, in_words(error) if slip is None else slip.args
            _send(connection, answer)
    except (EOFError, OSError):
        pass  # the other end has gone
    finally:
        if env is not None:
            close(env)


def _end_with(parent: int) -> None:
    """End this process, though it be in the midst of a step, when the other one has gone and nobody is left to end it."""
    is_child, starter = (
        os.getppid() == parent,
        multiprocessing.parent_process(),
    )  # a fork server's child is not one
    while os.getppid() == parent if is_child else starter is not None and starter.is_alive():
        time.sleep(LOOKING_SECONDS)
    time.sleep(CLOSING_SECONDS)
    os._exit(1)


def _send(connection: Connection, answer: tuple[bool, Any]) -> None:
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # such as an observation that holds a lock
        connection.send(
            (False, f"its result cannot be sent to another process ({in_words(error)})")
        )


def _step(env: gymnasium.Env[Any, Any], action: Any) -> tuple[Any, Any, bool, bool, bool]:
    observed, reward, terminated, truncated, info = step_answer(env.step(action))
    ends = as_flag("terminated", terminated), as_flag("truncated", truncated)
    return observed, reward, *ends, bool(info.get(LIFE_LOST))  # the rest may be large, and unread


def _reset(env: gymnasium.Env[Any, Any], seed: int) -> Any:
    observation, _ = reset_answer(env.reset(seed=seed))
    return observation


_ANSWERS: dict[str, Callable[..., Any]] = {
    "step": _step,
    "reset": _reset,
    **{
        call.__name__: call
        for call in (read_statistics, reward_wrappers, statistics_wrappers, write_statistics)
    },
}
