"""One collector: what it is asked again where it was lost, and when that ends."""

from collections import deque
from typing import Any

import pytest

from footlight.collection.chunks import Chunk, CollectorLost, Task
from footlight.collection.supervised import MAX_LOSSES, SupervisedCollector, end
from footlight.errors import EnvironmentFault


def task(number: int) -> Task:
    return Task(number, 4, 0, {}, {})


class Recorded:
    """Answers with what it is given; anything that is raised is raised."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.asked, self.ended = deque(answers), [], list[str]()

    def ask(self, method: str, given: Any) -> None:
        self.asked.append((method, given.number if isinstance(given, Task) else given))

    def answer(self, seconds: float) -> Any:
        if isinstance(self.answers[0], Exception):
            raise self.answers.popleft()
        return self.answers.popleft()

    def close(self) -> None:
        self.ended.append("close")

    def join(self) -> None:
        self.ended.append("join")


def chunk(number: int) -> Chunk:
    where: Any = {"after": number}
    return Chunk(number, None, None, [], [], [], where)  # type: ignore[arg-type]


def supervised(*channels: Recorded) -> tuple[SupervisedCollector, list[str]]:
    left, messages = deque(channels), list[str]()
    collector = SupervisedCollector(2, lambda index: left.popleft(), messages.append)
    collector.start()
    return collector, messages


def test_chunks_arrive_in_the_order_that_they_were_asked_for() -> None:
    channel = Recorded([chunk(0), None, chunk(1)])
    collector, _ = supervised(channel)
    collector.ask(task(0))
    collector.ask(task(1))
    for _ in range(3):
        collector.receive()
    assert [each.number for each in collector.chunks] == [0, 1]
    collector.take()
    assert collector.position == {"after": 0}
    assert channel.asked == [("collect", 0), ("collect", 1)]


def test_another_one_continues_after_the_last_chunk_that_has_arrived() -> None:
    lost = Recorded([chunk(0), CollectorLost("its process was killed")])
    other = Recorded([None, [], chunk(1), chunk(2)])
    collector, messages = supervised(lost, other)
    for number in range(3):
        collector.ask(task(number))
    for _ in range(6):
        collector.receive()
    assert lost.ended == ["close", "join"]
    assert other.asked == [("restore", {"after": 0}), ("collect", 1), ("collect", 2)]
    assert [each.number for each in collector.chunks] == [0, 1, 2]
    assert not collector.not_restored
    assert messages == [
        "collector 2: its process was killed - another one repeats what it had not returned"
    ]


def test_before_the_first_chunk_it_begins_where_the_oldest_round_began() -> None:
    lost, other = Recorded([CollectorLost("lost")]), Recorded([[1], chunk(7)])
    collector, _ = supervised(lost, other)
    collector.position = {"after": 6}  # type: ignore[dict-item]
    collector.ask(task(7))
    for _ in range(3):
        collector.receive()
    assert other.asked == [("restore", {"after": 6}), ("collect", 7)]
    assert collector.chunks[0].not_restored == [1]  # its second environment
    assert not collector.not_restored


def test_one_that_is_lost_while_it_is_restored_counts_too() -> None:
    first, second = (Recorded([CollectorLost("lost")]) for _ in range(2))
    third = Recorded([[], chunk(0)])
    collector, messages = supervised(first, second, third)
    collector.ask(task(0))
    for _ in range(4):
        collector.receive()
    assert len(messages) == 2
    assert [each.number for each in collector.chunks] == [0]
    assert third.asked == [("restore", {}), ("collect", 0)]


def test_it_is_not_replaced_forever() -> None:
    channels = [Recorded([CollectorLost("out of memory")]) for _ in range(MAX_LOSSES)]
    collector, _ = supervised(*channels)
    collector.ask(task(0))
    for _ in range(MAX_LOSSES - 1):
        collector.receive()
    with pytest.raises(EnvironmentFault, match="collector 2: out of memory; that happened 3 times"):
        collector.receive()


def test_a_chunk_in_between_makes_it_start_to_count_again() -> None:
    channels = [Recorded([CollectorLost("lost")])]
    channels += [Recorded([[], chunk(number), CollectorLost("lost")]) for number in range(5)]
    channels.append(Recorded([[]]))
    collector, messages = supervised(*channels)
    for number in range(6):
        collector.ask(task(number))
    for _ in range(17):
        collector.receive()
    assert len(messages) == 6
    assert len(collector.chunks) == 5


def test_all_are_asked_to_end_before_any_is_waited_for() -> None:
    order: list[tuple[int, str]] = []

    class Ordered(Recorded):
        def __init__(self, number: int) -> None:
            super().__init__([])
            self.number = number

        def close(self) -> None:
            order.append((self.number, "close"))

        def join(self) -> None:
            order.append((self.number, "join"))

    collectors = [supervised(Ordered(number))[0] for number in range(2)]
    end(collectors)
    assert order == [(0, "close"), (1, "close"), (0, "join"), (1, "join")]
    end(collectors)  # which have ended
    assert len(order) == 4


def test_a_chunk_that_is_missing_for_long_is_reported_once() -> None:
    messages: list[str] = []
    channel = Recorded([None] * 20)
    collector = SupervisedCollector(2, lambda index: channel, messages.append, patience=1.0)
    collector.start()
    collector.ask(task(0))
    for _ in range(20):
        collector.receive()
    assert messages == ["collector 2 has not answered for 1 s - waiting for it"]
