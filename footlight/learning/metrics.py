"""The metrics of updates: those of the last one, and sums since the last reading."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.protocol import Outcome
from footlight.algorithms.requirements import Derived
from footlight.learning.outcomes import new_metrics, require_none_new
from footlight.types import Array


class Metrics:
    """What updates report, by name, in tensors on the device.

    The names are the algorithm's `METRICS`, or, where it names none, those that its updates have
    returned so far.
    """

    def __init__(self, algorithm: Any, device: torch.device) -> None:
        self._algorithm = algorithm
        self.names = list(algorithm.METRICS)
        self.are_derived = isinstance(algorithm.METRICS, Derived)
        self.latest = torch.zeros(len(self.names), device=device)
        self.totals = torch.zeros(len(self.names), device=device)  # sums since the last reading,
        self._counts = np.zeros(len(self.names), np.float32)  # and how many were summed
        self._given: dict[str, Array] = {}  # which metrics each update returns, as 0 and 1

    def admit(self, name: str, outcome: Outcome, may_grow: bool = True) -> None:
        """Check what the update of this name returned, and make room for metrics that no update has
        returned before, unless they `may_grow` no more. Raises `UserError`."""
        first = name not in self._given
        if new := new_metrics(self._algorithm, name, outcome, self.names, first):
            if not may_grow:
                require_none_new(new)
            self._add(new)

    def _add(self, new: Sequence[str]) -> None:
        self.names += new
        more = torch.zeros(len(new), device=self.latest.device)
        self.latest, self.totals = (torch.cat([x, more]) for x in (self.latest, self.totals))
        self._counts = np.pad(self._counts, (0, len(new)))
        self._given = {name: np.pad(given, (0, len(new))) for name, given in self._given.items()}

    def restore_names(self, names: Sequence[str]) -> None:
        """Make room for the metrics of a saved agent, in the same order."""
        if self.are_derived:
            self.names, self._given = [], {}
            self.latest, self.totals = self.latest[:0], self.totals[:0]
            self._counts = self._counts[:0]
            self._add(names)

    def put(self, name: str, outcome: Outcome, totals: Tensor, latest: Tensor) -> None:
        """Put what an update returned into `totals` and `latest`."""
        metrics, names = outcome.metrics, self.names
        self._given[name] = np.array([each in metrics for each in names], np.float32)
        if not names:
            return
        zero = latest.new_zeros(())
        totals.add_(torch.stack([metrics.get(each, zero) for each in names]))
        latest.copy_(
            torch.stack([metrics.get(each, latest[index]) for index, each in enumerate(names)])
        )

    def count(self, name: str) -> None:
        """An update of this name was made."""
        self._counts += self._given[name]

    def last(self) -> dict[str, float]:
        """Those of the last update."""
        return dict(zip(self.names, self.latest.tolist(), strict=True))

    def means(self) -> dict[str, float]:
        """Means over the updates since the last call; {} if there were none."""
        sums, counts = self.totals.tolist(), self._counts.tolist()
        self.totals.zero_()
        self._counts[:] = 0
        return {n: s / c for n, s, c in zip(self.names, sums, counts, strict=True) if c}

    def leaves(self) -> dict[str, Tensor | Array]:
        """What changes in place, by name."""
        return {
            "metrics.latest": self.latest,
            "metrics.totals": self.totals,
            "metrics.counts": self._counts,
        }
