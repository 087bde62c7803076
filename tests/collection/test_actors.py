"""Collectors on Ray, with a stand-in for it: what is stored, copied, lost and replaced.

`tests/training/test_on_ray.py` has a run on a cluster.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from footlight.collection import actors
from footlight.collection.actors import ActorChannel, ActorCollectors, CollectorActor
from footlight.collection.chunks import Chunk, CollectorLost, Task
from footlight.errors import EnvironmentFault, FootlightError, UserError


class RayError(Exception):
    """What Ray raises for actors that are lost."""


class RayTaskError(RayError):
    """What Ray raises for calls that could not be made."""

    cause = ModuleNotFoundError("No module named 'mine'")


class StandIn:
    """Ray's calls as far as collectors use them: actors are called at once, in this process."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.started: list[dict[str, Any]] = []
        self.killed: list[Any] = []
        self.is_slow = False

    def remote(self, **options: Any) -> Callable[[type[Any]], Any]:
        def decorated(actor: type[Any]) -> Any:
            def with_options(**more: Any) -> Any:
                self.started.append({**options, **more})
                return SimpleNamespace(remote=lambda *given: self._handle(actor(*given)))

            return SimpleNamespace(options=with_options)

        return decorated

    def _handle(self, actor: Any) -> Any:
        def call(method: str, given: Any) -> Any:
            if isinstance(given, tuple) and given[:1] == ("stored",):
                given = self.stored[given[1]]
            return actor.call(method, given)

        close = SimpleNamespace(remote=actor.close)
        return SimpleNamespace(call=SimpleNamespace(remote=call), close=close)

    def put(self, what: Any) -> Any:
        self.stored.append(what)
        return "stored", len(self.stored) - 1

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return ([], references) if self.is_slow else (references, [])

    def get(self, reference: Any) -> Any:
        if isinstance(reference, RayError):
            raise reference
        return reference

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)


class Collector:
    """In place of the real one."""

    closed: ClassVar[int] = 0

    def __init__(self, plan: Any, index: int) -> None:
        Collector.closed = 0
        if plan == "impossible":
            raise FootlightError("no such environment")
        self.given: list[Any] = []

    def collect(self, task: Task) -> Any:
        task.policy["parameters"][:] = 7  # which nothing in the object store allows
        reward = np.zeros(3)
        reward.flags.writeable = False
        transition: Any = SimpleNamespace(reward=reward)
        return Chunk(task.number, transition, None, [], [], [], {})  # type: ignore[arg-type]

    def restore(self, position: Any) -> list[int]:
        return [1]

    def close(self) -> None:
        Collector.closed += 1

    def fail(self, why: str) -> None:
        raise EnvironmentFault(why) if why == "stuck" else ZeroDivisionError(why)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(actors, "Collector", Collector)
    return StandIn()


def opened(ray: StandIn, plan: Any = "plan") -> ActorChannel:
    return ActorCollectors(ray)(plan, 0, [])


def task(number: int) -> Task:
    return Task(number, 4, 0, {"parameters": np.zeros(2, np.float32)}, {})


def test_a_task_is_stored_once_for_all_collectors(ray: StandIn) -> None:
    collectors = ActorCollectors(ray)
    channels = [collectors("plan", index, []) for index in range(3)]  # type: ignore[arg-type]
    for number in range(9):
        asked = task(number)
        for channel in channels:
            channel.ask("collect", asked)
        assert asked.policy["parameters"].tolist() == [0, 0]  # a collector has its own copy
    assert [each.number for each in ray.stored] == [*range(9)]
    assert len(collectors._stored) == actors.KEPT_TASKS


def test_answers_come_in_order_and_are_copies(ray: StandIn) -> None:
    channel = opened(ray)
    channel.ask("restore", {})
    channel.ask("collect", task(5))
    ray.is_slow = True
    assert channel.answer(0.0) is None
    ray.is_slow = False
    assert channel.answer(0.0) == [1]
    chunk = channel.answer(0.0)
    assert chunk.number == 5
    assert chunk.transition.reward.flags.writeable


def test_errors_are_raised_here(ray: StandIn) -> None:
    channel = opened(ray)
    channel.ask("fail", "stuck")
    with pytest.raises(EnvironmentFault, match="stuck"):
        channel.answer(0.0)
    channel.ask("fail", "by zero")
    with pytest.raises(FootlightError, match="a collector has failed: ZeroDivisionError: by zero"):
        channel.answer(0.0)
    other = opened(ray, "impossible")
    other.ask("restore", {})
    with pytest.raises(FootlightError, match="no such environment"):
        other.answer(0.0)


def test_one_that_is_lost_says_so(ray: StandIn) -> None:
    channel = opened(ray)
    channel._asked.append(RayError("the node died"))
    with pytest.raises(CollectorLost, match=r"its process or node was lost \(RayError\)"):
        channel.answer(0.0)
    channel.close()
    assert not ray.killed
    channel.join()
    assert len(ray.killed) == 1


def test_one_whose_node_lacks_something_says_so(ray: StandIn) -> None:
    channel = opened(ray)
    channel._asked.append(RayTaskError("a long traceback"))
    with pytest.raises(UserError, match=r"cannot run on its node .*No module named 'mine'"):
        channel.answer(0.0)


def test_environments_are_closed_before_the_actor_ends(ray: StandIn) -> None:
    channel = opened(ray)
    channel.ask("restore", {})
    channel.close()
    channel.join()
    assert Collector.closed == 1


def test_one_in_place_of_another_needs_no_free_cpu(ray: StandIn) -> None:
    collectors = ActorCollectors(ray)
    for index in (0, 1, 0):
        collectors("plan", index, [])  # type: ignore[arg-type]
    assert [each["num_cpus"] for each in ray.started] == [1, 1, 0]
    assert {each["max_restarts"] for each in ray.started} == {0}


def test_an_actor_makes_its_collector_at_the_first_call(ray: StandIn) -> None:
    actor = CollectorActor("impossible", 0)  # type: ignore[arg-type]
    assert isinstance(actor.call("restore", {}), FootlightError)
