"""One collector as the learner knows it: asked, waited for, and replaced where it is lost."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from footlight.collection.chunks import Chunk, CollectorLost, Position, Task
from footlight.errors import EnvironmentFault

POLL_SECONDS = 0.25
MAX_LOSSES = 3  # without a chunk in between


class Channel(Protocol):
    """A way to a collector. Requests are answered in their order."""

    def ask(self, method: str, given: Any) -> None:
        """Have a method of the collector called."""

    def answer(self, seconds: float) -> Any:
        """What the next call has returned; None if it takes longer than so many seconds.

        Raises what the call has raised, and `CollectorLost`.
        """

    def close(self) -> None:
        """Let the collector end."""

    def join(self) -> None:
        """Wait until it has, after `close`."""


class SupervisedCollector:
    """A collector. What its process loses, another one computes again.

    open_channel: starts the collector of this index, and returns the way to it. notify: called with
    messages. patience: seconds after which a missing chunk is reported; 0: never.
    """

    def __init__(
        self, index: int, open_channel: Callable[[int], Channel], notify: Callable[[str], None],
        patience: float = 0.0,
    ) -> None:  # fmt: skip
        self.index, self._open, self._notify = index, open_channel, notify
        self.position: Position = {}
        """Where the oldest round that is not learned from began."""
        self.chunks: deque[Chunk] = deque()
        """Those that have arrived, from that round on."""
        self.not_restored: list[int] = []
        """Environments that begin new episodes in the next chunk, as they could not continue."""
        self.is_restoring = False
        self.channel: Channel | None = None
        self._asked: deque[Task] = deque()  # whose chunks have not arrived
        self._losses = 0
        self._patience, self._waited = patience, 0.0

    def start(self) -> None:
        """Start it, at the beginning."""
        self.channel = self._open(self.index)

    def ask(self, task: Task) -> None:
        """Ask for a chunk."""
        assert self.channel is not None
        self._asked.append(task)
        self.channel.ask("collect", task)

    def resume(self, position: Position, tasks: Sequence[Task]) -> None:
        """Begin at a position with these tasks, in place of those that were asked for."""
        assert self.channel is not None
        self.channel.ask("restore", position)
        self.is_restoring, self.not_restored = True, []
        self._asked.clear()
        for task in tasks:
            self.ask(task)

    def receive(self) -> None:
        """Wait for the next answer, but not for long. Raises `EnvironmentFault` and `UserError`."""
        assert self.channel is not None
        try:
            answer = self.channel.answer(POLL_SECONDS)
        except CollectorLost as lost:
            self._replace(lost)
            return
        if answer is None:
            self._wait()
            return
        self._waited = 0.0
        if self.is_restoring:
            self.is_restoring, self.not_restored = False, list(answer)
            return
        self.chunks.append(answer._replace(not_restored=self.not_restored))
        self._asked.popleft()
        self._losses, self.not_restored = 0, []

    def _wait(self) -> None:
        """Report a chunk that is missing for long, once."""
        before, self._waited = self._waited, self._waited + POLL_SECONDS
        if before < self._patience <= self._waited:
            self._notify(
                f"collector {self.index} has not answered for {self._patience:g} s - waiting for it"
            )

    def _replace(self, lost: CollectorLost) -> None:
        """Have another collector continue where this one was lost."""
        end([self])
        self._losses += 1
        what = f"collector {self.index}: {lost}"
        if self._losses == MAX_LOSSES:
            raise EnvironmentFault(
                f"{what}; that happened {MAX_LOSSES} times in a row - find out what ends it, an "
                "environment that crashes or a lack of memory perhaps"
            ) from lost
        self._notify(f"{what} - another one repeats what it had not returned")
        self.start()
        position = self.chunks[-1].position if self.chunks else self.position
        self.resume(position, [*self._asked])

    def take(self) -> None:
        """Forget the oldest chunk: it is learned from."""
        self.position = self.chunks.popleft().position


def end(collectors: Iterable[SupervisedCollector]) -> None:
    """End collectors together."""
    ending = [(each, each.channel) for each in collectors if each.channel is not None]
    for _, channel in ending:
        channel.close()
    for collector, channel in ending:
        channel.join()
        collector.channel = None
