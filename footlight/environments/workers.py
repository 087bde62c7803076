"""Environments in processes of their own, for those whose steps take long: all step at the same time.

Everything else is `SerialEnvironments`: the same seeds, checks and transitions, and the same way to go on after a stop.
Gymnasium's `AsyncVectorEnv` is not used: closing it after a worker has died fails, what a worker raises comes without the number
of its environment (or never, where it cannot be sent), and single environments cannot be put back to where they stood.
"""

import contextlib
import multiprocessing
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper

from footlight.environments.atari import LIFE_LOST
from footlight.environments.episodes import RemoteError, in_words
from footlight.environments.serial import SerialEnvironments
from footlight.errors import FootlightError, UserError
from footlight.types import Array

Make = Callable[[], gymnasium.Env[Any, Any]]

CLOSING_SECONDS = 5.0  # for a worker to finish its step and close its environment
_OURS: weakref.WeakSet[Connection] = weakref.WeakSet()  # this process's ends of the pipes to its workers


class RemoteEnv(gymnasium.Env[Any, Any]):
    """An environment in a process of its own.

    `ask` begins a call and `step` or `reset` gives its result, so that others can begin in between.
    """

    def __init__(self, make: Make) -> None:
        # A fork knows the ids that the user's script has registered, and does not run that script again
        context = multiprocessing.get_context("fork" if sys.platform.startswith("linux") else None)
        self._connection, theirs = context.Pipe()
        _OURS.add(self._connection)
        self._process = context.Process(target=_serve, args=(CloudpickleWrapper(make), theirs), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child runs nothing of theirs
            self._process.start()
        theirs.close()
        self._asked = True  # the first answer is what spaces there are

    def learn_spaces(self) -> None:
        """Wait until the environment is made. Raises `UserError` where it cannot be."""
        try:
            self.observation_space, self.action_space = self._answer()
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

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The result of a reset. Raises `RemoteError`."""
        if not self._asked:
            self.ask("reset", seed)
        return self._answer(), {}

    def _answer(self) -> Any:
        try:
            good, answer = self._connection.recv()
            self._asked = False
        except (EOFError, OSError) as error:
            self._process.join(1)
            raise RemoteError(f"its process has died (exit code {self._process.exitcode})") from error
        if not good:
            raise RemoteError(answer)
        return answer

    def leave(self) -> None:
        """Let the process end, without waiting for it."""
        self._connection.close()

    def close(self) -> None:
        """End the process, by force where it does not end by itself."""
        self.leave()
        for stop in (None, self._process.terminate, self._process.kill):
            if stop is not None:
                stop()
            self._process.join(CLOSING_SECONDS)
            if self._process.exitcode is not None:
                return


class AsyncEnvironments(SerialEnvironments):
    """E environments with a process each. Raises `UserError` where they cannot be made."""

    def __init__(self, make: Make, num_envs: int, seed: int, stream: str) -> None:
        remote: list[RemoteEnv] = []
        try:
            remote.extend(RemoteEnv(make) for _ in range(num_envs))
            for env in remote:
                env.learn_spaces()
            super().__init__(list(remote), seed, stream)
        except BaseException:
            _close(remote)
            raise
        self.remote = remote

    def _ask_steps(self, action: Array) -> None:
        for env, row in zip(self.remote, action, strict=True):
            env.ask("step", self._given(row))

    def _ask_resets(self, envs: Sequence[int]) -> None:
        for env in envs:
            self.remote[env].ask("reset", self.book.episode_seed(env))

    def close(self) -> None:
        """End all processes."""
        _close(self.remote)


def _close(remote: list[RemoteEnv]) -> None:
    for env in remote:
        env.leave()
    for env in remote:
        env.close()


def _serve(make: Make, connection: Connection) -> None:
    """What a worker does: make the environment, then step and reset it until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for inherited in list(_OURS):  # by a fork, which would keep them open when the other process closes them
        inherited.close()
    env: gymnasium.Env[Any, Any] | None = None
    try:
        try:
            env = make()
        except Exception as error:
            _send(connection, (False, str(error) if isinstance(error, FootlightError) else in_words(error)))
            return
        _send(connection, (True, (env.observation_space, env.action_space)))
        while True:
            method, given = connection.recv()
            try:
                answer = True, _ANSWERS[method](env, *given)
            except Exception as error:
                answer = False, in_words(error)
            _send(connection, answer)
    except (EOFError, OSError):
        pass  # the other end has gone
    finally:
        if env is not None:
            env.close()


def _send(connection: Connection, answer: tuple[bool, Any]) -> None:
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # such as an observation that holds a lock
        connection.send((False, f"its result cannot be sent to another process ({in_words(error)})"))


def _step(env: gymnasium.Env[Any, Any], action: Any) -> tuple[Any, Any, bool, bool, bool]:
    observed, reward, terminated, truncated, info = env.step(action)
    return observed, reward, bool(terminated), bool(truncated), bool(info.get(LIFE_LOST))  # the rest may be large, and unread


def _reset(env: gymnasium.Env[Any, Any], seed: int) -> Any:
    observation, _ = env.reset(seed=seed)
    return observation


_ANSWERS: dict[str, Callable[..., Any]] = {"step": _step, "reset": _reset}
