"""Collectors as actors on the nodes of a Ray cluster."""

import copy
from collections import deque
from collections.abc import Sequence
from typing import Any

from footlight.collection.chunks import CollectorLost, Task
from footlight.collection.collector import Collector, Plan, failure
from footlight.contexts import close_quietly
from footlight.environments import processes
from footlight.errors import FootlightError, UserError, describe_error

CLOSING_SECONDS = 5.0
KEPT_TASKS = 4  # in the object store; no collector is that far behind


class ActorCollectors:
    """Starts collectors on the nodes of a cluster that this process is connected to.

    ray: the module. A task is stored once for all of them, and what they return is copied, so that
    the object store holds no more than what is on its way.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        # One that is lost is replaced by the learner, which knows where it has to continue
        options = {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._actor = ray.remote(**options)(CollectorActor)
        self._started: set[int] = set()
        self._stored: deque[tuple[Task, Any]] = deque(maxlen=KEPT_TASKS)

    def __call__(self, plan: Plan, index: int, others: Sequence[Any]) -> "ActorChannel":
        # One in place of another takes what is left: with fewer nodes there may be no free CPU
        cpus = 0 if index in self._started else 1
        self._started.add(index)
        return ActorChannel(self._ray, self._actor.options(num_cpus=cpus).remote(plan, index), self)

    def stored(self, task: Task) -> Any:
        """The reference to a task in the object store."""
        for known, reference in self._stored:
            if known is task:
                return reference
        reference = self._ray.put(task)
        self._stored.append((task, reference))
        return reference


class CollectorActor:
    """Runs on a node: a collector, made at its first call."""

    def __init__(self, plan: Plan, index: int) -> None:
        processes.begin_with_one_thread()
        self._plan, self._index = plan, index
        self._collector: Collector | None = None

    def call(self, method: str, given: Any) -> Any:
        """What a method of the collector returns, or the exception that it raises."""
        try:
            if self._collector is None:
                self._collector = Collector(self._plan, self._index)
            # Its own, since nothing in the object store can be written to
            return getattr(self._collector, method)(copy.deepcopy(given))
        except (FootlightError, KeyError, ValueError) as error:
            return error
        except Exception as error:
            return failure(error)

    def close(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            close_quietly(self._collector)


class ActorChannel:
    """Asks a collector on a cluster. Requests are answered in their order."""

    def __init__(self, ray: Any, actor: Any, collectors: ActorCollectors) -> None:
        self._ray, self._actor, self._collectors = ray, actor, collectors
        self._asked: deque[Any] = deque()
        self._closing: Any = None

    def ask(self, method: str, given: Any) -> None:
        """Have a method of the collector called."""
        sent = self._collectors.stored(given) if isinstance(given, Task) else given
        self._asked.append(self._actor.call.remote(method, sent))

    def answer(self, seconds: float) -> Any:
        """What the next call has returned; None if it takes longer than so many seconds.

        Raises what the call has raised, and `CollectorLost`.
        """
        errors = self._ray.exceptions
        try:
            if not self._ray.wait([self._asked[0]], timeout=seconds)[0]:
                return None
            answer = self._ray.get(self._asked.popleft())
        except errors.RayTaskError as error:  # it could not be called
            raise UserError(
                f"a collector cannot run on its node ({describe_error(error.cause)}) - its "
                "environment and your own code have to be there, too"
            ) from error
        except errors.RayError as error:
            raise CollectorLost(f"its process or node was lost ({type(error).__name__})") from error
        if isinstance(answer, BaseException):
            raise answer
        # In memory of this process: that of the object store stays occupied while it is used
        return copy.deepcopy(answer)

    def close(self) -> None:
        """Let the collector close its environments after the current call."""
        self._asked.clear()
        self._closing = self._actor.close.remote()

    def join(self) -> None:
        """Wait for that, but not for long, and end the actor."""
        self._ray.wait([self._closing], timeout=CLOSING_SECONDS)
        self._ray.kill(self._actor)
