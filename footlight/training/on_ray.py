"""Calls as tasks of a Ray cluster, as `footlight.training.children` makes them in processes.

A call trains a run in a folder that all nodes share, or resumes it where it finds a checkpoint, so
it can begin again elsewhere whenever its node or its process is lost. The lock of the folder keeps
the second process from it while the first one lives. Errors of a call are its outcome.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from footlight.errors import EnvironmentFault, UserError, describe_error
from footlight.instruments.several import SeveralRuns, report_to
from footlight.machine import all_cores, share_cores
from footlight.runs.lock import InUse
from footlight.signals import Interruption, serve_parent
from footlight.training.children import Call, Ended, outcome
from footlight.training.ray_cluster import Cluster, on_node, require_ray

POLL_SECONDS, LEASE_SECONDS, FLUSH_SECONDS = 0.25, 300.0, 5.0
MAX_CRASHES = 20  # of one call's processes, on nodes that live on
FIRST_SIGNAL = 128  # exit codes of a call that a signal has stopped are larger


def run_on_ray(
    cluster: Cluster,
    calls: Mapping[int, Call],
    num_together: int,
    display: SeveralRuns,
    interruption: Interruption,
    are_alike: bool = False,
) -> dict[int, Ended]:
    """Make the calls on a cluster, at most so many at a time; return how each of them ended.

    Ray begins as many as the cluster has CPUs for. A stop that is requested is passed on, as by
    `footlight.training.children.run_together`, whose results these are. are_alike: when one has
    finished, there is nothing left to do for those that have not begun; they are missing then.
    """
    tasks = _Tasks(cluster, calls, display, interruption)
    with display, interruption.installed(display.notify):
        interruption.polling = True
        while tasks.running or tasks.waiting:
            tasks.begin(num_together)
            tasks.attend()
            if are_alike and any(each.status == "finished" for each in tasks.ended.values()):
                tasks.stop_waiting()
            display.refresh()
    return tasks.ended


class _Tasks:
    """The calls, those in progress as tasks."""

    def __init__(
        self, cluster: Cluster, calls: Mapping[int, Call], display: SeveralRuns,
        interruption: Interruption,
    ) -> None:  # fmt: skip
        self._cluster, self._ray, self._calls = cluster, cluster.ray, calls
        self._display, self._interruption = display, interruption
        self._mailbox = _start_mailbox(cluster.ray)
        self._task = cluster.ray.remote(
            num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=0, retry_exceptions=False,
            max_calls=1,  # a new process for each
        )(_make)  # fmt: skip
        left = interruption.seconds_left()
        # By the clock on the wall, which the nodes share
        self._deadline = None if left is None else time.time() + left
        self._begun, self._cancelled = set[int](), set[int]()
        self._crashes = dict.fromkeys(calls, 0)
        self.waiting, self.running = [*calls], dict[Any, int]()
        self.ended: dict[int, Ended] = {}

    def begin(self, num_together: int) -> None:
        """Give Ray the next calls."""
        while self.waiting and len(self.running) < num_together:
            key, start = self.waiting.pop(0), str(Path.cwd())
            about = key, self._mailbox, self._cluster.cpus, self._deadline, start
            self.running[self._task.remote(self._calls[key], *about)] = key

    def attend(self) -> None:
        """Show what the calls report, note which have ended, and pass a stop on."""
        ready, _ = self._ray.wait([*self.running], timeout=POLL_SECONDS)
        with contextlib.suppress(self._ray.exceptions.RayError):  # it is being started again
            for key, message in self._ray.get(self._mailbox.take.remote()):
                self._begun.add(key)
                if message:
                    self._display.update_run(key, message)
        for ref in ready:
            key = self.running.pop(ref)
            if (ended := self._outcome(key, ref)) is not None:
                self.ended[key] = ended
                self._display.end_run(key, ended.status)
                if ended.is_of_all:
                    self.waiting.clear()
        if self._interruption.should_stop():
            self.stop_waiting()
        if self._interruption.signal is not None:  # at the time limit they stop by themselves
            self._cancel({*self.running.values()})

    def stop_waiting(self) -> None:
        """Leave out the calls that have not begun."""
        self.waiting.clear()
        self._cancel({*self.running.values()} - self._begun)

    def _cancel(self, keys: set[int]) -> None:
        """Stop calls as Ctrl-C in their process does, once."""
        for ref, key in self.running.items():
            if key in keys - self._cancelled:
                self._cancelled.add(key)
                self._ray.cancel(ref)

    def _outcome(self, key: int, ref: Any) -> Ended | None:
        """How a task has ended; None if it begins again, or never began."""
        errors = self._ray.exceptions
        try:
            ended = Ended(**self._ray.get(ref))
        except errors.TaskCancelledError:
            return None
        except errors.RayTaskError as error:
            if key in self._cancelled:  # before it could handle that
                return None
            what = describe_error(error.cause)
            return Ended("failed", what, UserError.exit_code, is_of_all=True)
        except errors.RayError as error:
            is_of_node = isinstance(error, errors.NodeDiedError | errors.LocalRayletDiedError)
            self._crashes[key] += not is_of_node
            if self._crashes[key] > MAX_CRASHES:
                what = f"its process died {self._crashes[key]} times ({type(error).__name__})"
                return Ended("fault", what, EnvironmentFault.exit_code)
            self._begin_again(key, f"lost ({type(error).__name__})")
            return None
        if ended.code > FIRST_SIGNAL and key not in self._cancelled:  # its node is shutting down
            self._begin_again(key, "stopped by its node")
            return None
        return ended

    def _begin_again(self, key: int, why: str) -> None:
        self._begun.discard(key)
        if not self._interruption.should_stop():
            self.waiting.insert(0, key)
            self._display.update_run(key, {"text": f"{why}; continuing from its checkpoint"})


def _start_mailbox(ray: Any) -> Any:
    """An actor beside this process, where calls leave messages."""

    class Mailbox:  # inside, so that Ray sends the class itself, and its process imports nothing
        def __init__(self) -> None:
            self.messages: list[tuple[int, Mapping[str, Any]]] = []

        def put(self, key: int, message: Mapping[str, Any]) -> None:
            self.messages.append((key, message))

        def take(self) -> list[tuple[int, Mapping[str, Any]]]:
            taken, self.messages = self.messages, []
            return taken

    here = on_node(ray.get_runtime_context().get_node_id())
    return ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Mailbox).remote()


def _make(
    call: Call, key: int, mailbox: Any, cpus: int, deadline: float | None, start: str
) -> dict[str, Any]:
    """Runs on a node: make a call. deadline: in seconds since the epoch. Returns an `Ended`."""
    ray = require_ray()

    def send(message: Mapping[str, Any]) -> None:
        mailbox.put.remote(key, message)

    send({})  # it has begun
    serve_parent(None if deadline is None else max(0.0, deadline - time.time()))
    share_cores(max(1, all_cores() // cpus))
    with contextlib.suppress(OSError):  # which only files named relative to it need
        os.chdir(start)
    report_to(send)
    ended = outcome(partial(patiently, call))
    with contextlib.suppress(ray.exceptions.RayError):  # the last words arrive before the outcome
        ray.get(mailbox.put.remote(key, {}), timeout=FLUSH_SECONDS)
    return ended._asdict()


def patiently(call: Call, seconds: float = LEASE_SECONDS) -> str:
    """Make a call; while its folder is in use, wait: the process that it was lost with may live.

    A node that is cut off from the others ends its processes after a minute.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except InUse:
            if time.monotonic() >= end:
                raise
        time.sleep(1.0)
