"""An environment in a process of its own: `RemoteEnv`, and the worker behind it."""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper

from footlight.contexts import close
from footlight.environments import interface, processes
from footlight.environments.carried import restore_attributes, save_attributes
from footlight.environments.episodes import WorkerLost
from footlight.environments.infos import LIFE_LOST, kept_info
from footlight.environments.interface import InterfaceError
from footlight.environments.naming import name_of_instance
from footlight.environments.running_statistics import (
    read_start,
    read_statistics,
    statistics_wrappers,
    write_statistics,
)
from footlight.environments.spaces import spaces_of
from footlight.environments.wrappers import InWorker, reward_wrappers
from footlight.errors import RemoteError, UserError, describe_error
from footlight.signals import ignore_signals

Make = Callable[[], gymnasium.Env[Any, Any]]

CLOSING_SECONDS = 5.0  # for a worker to finish its step and close its environment
POLL_SECONDS = 1.0  # between two checks whether the other process is alive
CANNOT_START = "no process can be started for an environment"


@dataclass(frozen=True)
class Supervision:
    """What is done about workers that die or do not answer."""

    timeout: float = 300.0
    """Seconds after which a worker counts as hanging and is ended; 0: never."""
    restart: bool = False
    """Replace a worker that is lost."""
    notify: Callable[[str], None] = lambda text: None


class RemoteEnv(gymnasium.Env[Any, Any], InWorker):
    """An environment in a process of its own, with `timeout` seconds for each answer (0: no limit).

    `ask` begins a call and `step` or `reset` returns its result, so that other environments can
    begin theirs in between.
    """

    def __init__(self, make: Make, timeout: float = Supervision.timeout) -> None:
        context = processes.start_method()
        self._connection, other_end = context.Pipe()
        self._owner = os.getpid()
        _close_with_this_process()
        _WORKERS.add(self)
        arguments = CloudpickleWrapper(make), other_end, os.getpid()
        # A daemon, so that multiprocessing does not wait for it at exit; `_serve` changes that
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            with processes.may_start_processes(), warnings.catch_warnings():
                # About a fork beside threads: see `footlight.machine.end_openmp_threads`
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        except Exception as error:  # no memory, too many processes, or pickling failed
            self._connection.close()
            what = f"{CANNOT_START} - {describe_error(error)} - use vectorization sync"
            raise UserError(what) from error
        finally:
            other_end.close()
        self._timeout = timeout
        self._asked = True  # the first answer is about the spaces
        self._lost: str | None = None  # how the process ended

    def learn_spaces(self) -> None:
        """Wait until the environment is made. Raises `UserError` if it cannot be."""
        try:
            self.observation_space, self.action_space, self.name = self._answer()
        except WorkerLost as lost:
            raise UserError(
                f"the environment was not made in its process - {lost} - find out what it waits "
                "for or what ended it, or use vectorization sync"
            ) from lost
        except RemoteError as error:
            raise UserError(str(error)) from error

    def ask(self, method: str, *given: Any) -> None:
        """Begin `method`."""
        if self._asked:  # an answer left over after the fault of another environment
            with contextlib.suppress(RemoteError):
                self._answer()
        self._asked = True
        with contextlib.suppress(OSError):  # if the process has died, the answer will say so
            self._connection.send((method, given))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The result of a step. Raises `RemoteError`."""
        if not self._asked:
            self.ask("step", action)
        observed, reward, terminated, truncated, info = self._answer()
        return observed, reward, terminated, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The result of a reset. Raises `RemoteError`."""
        if not self._asked:
            self.ask("reset", seed)
        return self._answer(), {}

    def call_remote(self, name: str, *given: Any) -> Any:
        """Call one of `_ANSWERS` there; an empty result if the process is lost."""
        try:
            self.ask(name, *given)
            return self._answer()
        except WorkerLost:
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
        except Exception as error:  # such as an observation of an unknown class
            good, answer = False, f"its result cannot be read ({describe_error(error)})"
        self._asked = False
        if not good:
            raise InterfaceError(*answer) if isinstance(answer, tuple) else RemoteError(answer)
        return answer

    def _wait(self) -> None:
        """Wait for an answer. Raises `WorkerLost`."""
        pause = min(POLL_SECONDS, self._timeout or POLL_SECONDS)
        waited = 0.0  # counted in polls, so that time while this process is stopped does not count
        # If the process ends, its end of the pipe closes, and polling returns
        while not self._connection.poll(pause):
            waited += pause
            if not self._process.is_alive():  # a process that it started holds the pipe open
                raise self._lose(None)
            if self._timeout and waited >= self._timeout:
                what = f"its process did not answer for {self._timeout:g} s and was ended"
                raise self._lose(what)

    def _lose(self, how: str | None) -> WorkerLost:
        if how is None:
            self._process.join(POLL_SECONDS)
            how = processes.describe_end(self._process.exitcode)
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
        """End the process, by force if it does not end by itself.

        patience: seconds to wait for that; None: `CLOSING_SECONDS`.
        """
        self.leave()
        if self._owner != os.getpid() or self._process.pid is None:
            return  # a fork's copy, or a process that could not be started
        self._process.join(CLOSING_SECONDS if patience is None else patience)
        self._process.kill()
        self._process.join()


# Workers of this process; a forked worker inherits the set, and closes its copies
_WORKERS: weakref.WeakSet[RemoteEnv] = weakref.WeakSet()
# Id of the process that closes open workers at exit; a fork has another id
_closing: list[int] = []


def _close_with_this_process() -> None:
    """Close all workers at exit, before multiprocessing joins its children.

    Unlike atexit, this also works in processes of multiprocessing.
    """
    if os.getpid() not in _closing:
        _closing[:] = [os.getpid()]
        multiprocessing.util.Finalize(None, _close_all_at_exit, exitpriority=100)


def close_all(remote: Sequence[RemoteEnv]) -> None:
    """End all these processes, at the same time."""
    for env in remote:
        env.leave()
    deadline = time.monotonic() + CLOSING_SECONDS  # for all of them together
    for env in remote:
        env.close(max(0.0, deadline - time.monotonic()))


def _close_all_at_exit() -> None:
    close_all(list(_WORKERS))


def _serve(make: Make, connection: Connection, parent: int) -> None:
    """Body of a worker: make the environment, then step and reset it until the pipe is closed."""
    multiprocessing.current_process().daemon = False  # so that the environment may start processes
    processes.begin_with_one_thread()
    ignore_signals()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for inherited in list(_WORKERS):  # a fork would keep these pipes open
        inherited.leave()
    env: gymnasium.Env[Any, Any] | None = None
    try:
        try:
            env = make()
        except BaseException as error:  # SystemExit included
            _send(connection, (False, describe_error(error)))
            return
        _send(connection, (True, (*spaces_of(env), name_of_instance(env))))
        while True:
            method, given = connection.recv()
            try:
                answer = True, _ANSWERS[method](env, *given)
            except BaseException as error:
                violation = interface.old_interface(method, error)
                answer = False, describe_error(error) if violation is None else violation.args
            _send(connection, answer)
    except (EOFError, OSError):
        pass  # the other end is closed
    finally:
        if env is not None:
            close(env)


def _end_with(parent: int) -> None:
    """End this process, even during a step, once its parent has ended."""
    # False: a fork server started it, or Windows, where a process keeps the id of its parent
    is_child = sys.platform != "win32" and os.getppid() == parent
    starter = multiprocessing.parent_process()
    while os.getppid() == parent if is_child else starter is not None and starter.is_alive():
        time.sleep(POLL_SECONDS)
    time.sleep(CLOSING_SECONDS)
    os._exit(1)


def _send(connection: Connection, answer: tuple[bool, Any]) -> None:
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # such as an observation that holds a lock
        what = f"its result cannot be sent to another process ({describe_error(error)})"
        connection.send((False, what))


def _step(env: gymnasium.Env[Any, Any], action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
    observed, reward, terminated, truncated, info = interface.step_answer(env.step(action))
    terminated = interface.as_flag("terminated", terminated)
    truncated = interface.as_flag("truncated", truncated)
    # The whole info is not sent, since it may be large
    kept = kept_info(info) if terminated or truncated else {}
    if info.get(LIFE_LOST):
        kept[LIFE_LOST] = True
    return observed, reward, terminated, truncated, kept


def _reset(env: gymnasium.Env[Any, Any], seed: int) -> Any:
    observation, _ = interface.reset_answer(env.reset(seed=seed))
    return observation


_ANSWERS: dict[str, Callable[..., Any]] = {
    "step": _step,
    "reset": _reset,
    **{
        call.__name__: call
        for call in (
            *(read_start, read_statistics, write_statistics, statistics_wrappers, reward_wrappers),
            *(save_attributes, restore_attributes),
        )
    },
}
