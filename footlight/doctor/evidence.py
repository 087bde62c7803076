"""What the files of a run say, as the checks read it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median, pstdev
from typing import Any

from footlight.runs.read import RunData

MIN_EPISODES = 6
"""Training episodes below which nothing is said about returns."""
MIN_UNTRAINED = 10
"""Training episodes of the untrained policy: few, as it can be ruined within hundreds of steps."""
MIN_PART = 4
"""Evaluations in each of two parts of which one is above the other: once in 70 times by chance."""
HIGHER = 0.3  # how far a probability is above 1/2
_EDGE = 0.1  # share of the run that counts as its beginning, and as its end


class NotJudged(Exception):
    """A check lacks what it needs: the message says what."""


class NotApplicable(NotJudged):
    """A check is of other runs, such as those with a replay buffer."""


@dataclass(frozen=True)
class Series:
    """Values of one quantity over environment steps."""

    name: str
    """Its column in the log."""
    steps: list[int]
    values: list[float]

    def __len__(self) -> int:
        return len(self.values)

    def since(self, share: float, total: int) -> "Series":
        """The part after that share of `total` steps."""
        kept = [(s, v) for s, v in zip(self.steps, self.values, strict=True) if s > share * total]
        return Series(self.name, [step for step, _ in kept], [value for _, value in kept])

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    def first(self, is_bad: Callable[[float], bool]) -> int | None:
        """The step from which on all values are bad; the first bad one if the last is not."""
        bad = [is_bad(value) for value in self.values]
        if not any(bad):
            return None
        index = bad.index(True)
        if bad[-1]:
            good = [number for number, each in enumerate(bad) if not each]
            index = good[-1] + 1 if good else 0
        return self.steps[index]


@dataclass(frozen=True)
class Progress:
    """Training returns at the beginning and at the end of a run."""

    early: float
    late: float
    spread: float
    """Standard deviation over the episodes of the beginning."""
    noise: float
    """Standard error of the difference."""
    share: float
    """Probability that a return of the end exceeds one of the beginning (Mann & Whitney 1947)."""
    share_noise: float
    """Its standard error if there is no difference."""

    @classmethod
    def between(cls, early: list[float], late: list[float]) -> "Progress":
        """From the returns at the beginning to those at the end."""
        spread, late_spread = pstdev(early), pstdev(late)
        noise = math.sqrt(spread**2 / len(early) + late_spread**2 / len(late))
        pairs = len(early) * len(late)
        order = sum((new > old) + 0.5 * (new == old) for old in early for new in late)
        share_noise = math.sqrt((len(early) + len(late) + 1) / (12 * pairs))
        return cls(fmean(early), fmean(late), spread, noise, order / pairs, share_noise)

    @property
    def gain(self) -> float:
        """The difference in standard deviations of the beginning."""
        return (self.late - self.early) / max(self.spread, 1e-3 * abs(self.early), 1e-9)

    @property
    def is_improved(self) -> bool:
        """Whether returns have risen by more than chance explains."""
        if self.gain > 1 and self.late - self.early > 3 * self.noise:
            return True
        # A few bad episodes make the spread of a policy large that reached the goal by chance
        return self.late > self.early and self.share - 0.5 > max(HIGHER, 3 * self.share_noise)

    @property
    def is_worse(self) -> bool:
        """Whether they have fallen by more than chance explains."""
        return self.gain < -0.8 and self.early - self.late > 4 * self.noise


class Evidence:
    """The files of a run, and what several checks derive from them."""

    def __init__(self, run: RunData) -> None:
        self.run = run
        config = run.config.get("config")
        self.fields: dict[str, Any] = config if isinstance(config, dict) else {}
        self.episodes = [
            row
            for row in run.episodes
            if is_number(row["return"]) and type(row.get("length")) is int
        ]
        """Finished training episodes whose return and length are numbers."""

    def number(self, name: str) -> float:
        """A config field. Raises `NotApplicable` if this run has no number of that name."""
        value: Any = self.fields.get(name)
        if not is_number(value):
            raise NotApplicable(f"the config has no number {name}")
        return float(value)

    @cached_property
    def num_envs(self) -> int:
        """How many environments collected experience."""
        value = self.run.config.get("num_envs")
        return value if type(value) is int else 1

    @cached_property
    def steps(self) -> int:
        """Environment steps so far."""
        logs = self.run.metrics, self.run.evaluations, self.run.episodes
        last = max((rows[-1]["step"] for rows in logs if rows), default=0)
        steps = (self.run.result or {}).get("steps")
        return max(last, steps if type(steps) is int else 0)

    @property
    def num_updates(self) -> int:
        """Updates up to the last evaluation; 0 where that is unknown."""
        updates = (row.get("update") for row in self.run.diagnostics)
        return max((count for count in updates if type(count) is int), default=0)

    def metric(self, name: str) -> Series:
        """A column of `metrics.jsonl`. Raises `NotApplicable` if there is none."""
        if self.run.metrics and not any(name in row for row in self.run.metrics):
            raise NotApplicable(f"this algorithm does not report {name}")
        return self._series(self.run.metrics, name, "metric")

    @cached_property
    def evaluated(self) -> list[dict[str, Any]]:
        """The evaluations whose mean return is a number."""
        return [row for row in self.run.evaluations if is_number(row.get("mean_return"))]

    @property
    def evaluations(self) -> Series:
        """Mean returns of the evaluations. Raises `NotJudged` if there are none."""
        return self._series(self.run.evaluations, "mean_return", "evaluation")

    def diagnostic(self, name: str) -> Series:
        """A column of `diagnostics.jsonl`. Raises `NotJudged` if there is none."""
        if not self.run.diagnostics:
            raise NotJudged("the run has no diagnostics, which evaluations write")
        return self._series(self.run.diagnostics, name, "diagnostic")

    def trained(self, name: str) -> Series:
        """A column of `diagnostics.jsonl` after the first update: before, networks say nothing of
        the training. Raises `NotJudged`."""
        rows = [row for row in self.run.diagnostics if row.get("update") != 0]
        if self.run.diagnostics and not rows:
            raise NotJudged("no evaluation followed an update")
        return self.diagnostic(name) if not rows else self._series(rows, name, "diagnostic")

    def of_networks(self, name: str) -> dict[str, Series]:
        """The columns `NETWORK.name` of `diagnostics.jsonl`, by network. Raises `NotJudged`."""
        found = sorted({
            key for row in self.run.diagnostics for key in row if key.endswith(f".{name}")
        })  # fmt: skip
        if not found:
            raise NotJudged(f"the diagnostics have no {name} of networks")
        return {key.removesuffix(f".{name}"): self.diagnostic(key) for key in found}

    @cached_property
    def lengths(self) -> list[int]:
        """Lengths of the training episodes."""
        return [row["length"] for row in self.episodes]

    @property
    def typical_length(self) -> float:
        """The median length. Raises `NotJudged` without a finished episode."""
        if not self.lengths:
            raise NotJudged("no training episode has finished")
        return median(self.lengths)

    @property
    def num_untrained(self) -> int:
        """How many of the first training episodes count as those of the untrained policy."""
        return max(MIN_UNTRAINED, 2 * self.num_envs)

    @cached_property
    def progress(self) -> Progress | None:
        """How training returns have developed; None with too few episodes."""
        rows = [(row["step"], row["return"]) for row in self.episodes]
        if len(rows) < MIN_EPISODES:
            return None
        total = self.steps
        untrained = rows[: self.num_untrained]
        early = [value for step, value in untrained if step <= _EDGE * total]
        late = [value for step, value in rows if step > (1 - _EDGE) * total]
        early = early if len(early) >= 3 else [value for _, value in rows[: len(rows) // 3]]
        late = late if len(late) >= 3 else [value for _, value in rows[-(len(rows) // 3) :]]
        recent = Progress.between(early, late)
        # A few noisy episodes may hide what more of them show
        more = [value for _, value in rows[-min(MIN_UNTRAINED, len(rows) // 3) :]]
        if recent.is_improved or recent.is_worse or len(more) <= len(late):
            return recent
        longer = Progress.between(early, more)  # a second attempt has to be surer
        return longer if abs(longer.late - longer.early) > 3.5 * longer.noise else recent

    @cached_property
    def is_learning(self) -> bool:
        """Whether returns have risen by more than chance explains."""
        if self.progress is not None and self.progress.is_improved:
            return True
        # Where exploring reaches the goal, or hides that the policy does, evaluations show what was
        # learned: all of the last third are above all of the first by more than its episodes differ
        rows, part = self.evaluated, len(self.evaluated) // 3
        if part < MIN_PART:
            return False
        early, late = ([row["mean_return"] for row in each] for each in (rows[:part], rows[-part:]))
        spreads = [row["std_return"] for row in rows[:part] if is_number(row.get("std_return"))]
        rise = fmean(late) - fmean(early)
        return min(late) > max(early) and rise > 2 * median(spreads or [0.0])

    def _series(self, rows: list[dict[str, Any]], name: str, kind: str) -> Series:
        pairs = [(row["step"], row[name]) for row in rows if is_number(row.get(name))]
        if not pairs:
            raise NotJudged(f"the run has no {kind} {name}")
        return Series(name, [step for step, _ in pairs], [float(value) for _, value in pairs])


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
