"""Sums and last values of metrics, named by the algorithm or by what its updates return."""

from typing import Any

import numpy as np
import pytest
import torch

from footlight.algorithms.authoring import Outcome
from footlight.algorithms.requirements import Derived
from footlight.errors import UserError
from footlight.learning.metrics import Metrics


def metrics(names: Any) -> Metrics:
    return Metrics(type("Mine", (), {"METRICS": names}), torch.device("cpu"))


def report(to: Metrics, update: str, **values: float) -> None:
    outcome = Outcome({name: torch.tensor(value) for name, value in values.items()})
    to.admit(update, outcome)
    to.put(update, outcome, to.totals, to.latest)
    to.count(update)


def test_means_are_over_the_updates_that_returned_a_metric() -> None:
    found = metrics(("a", "b"))
    report(found, "both", a=1.0, b=10.0)
    report(found, "one", a=3.0)
    assert found.last() == {"a": 3.0, "b": 10.0}
    assert found.means() == {"a": 2.0, "b": 10.0}
    assert found.means() == {}


def test_derived_names_come_as_they_are_returned() -> None:
    found = metrics(Derived())
    report(found, "one", a=1.0)
    report(found, "two", b=2.0, a=3.0)
    report(found, "one", a=5.0)
    assert found.names == ["a", "b"]
    assert found.means() == {"a": 3.0, "b": 2.0}
    again = metrics(Derived())
    again.restore_names(["a", "b"])
    assert {n: np.shape(x) for n, x in again.leaves().items()} == {
        n: np.shape(x) for n, x in found.leaves().items()
    }
    report(again, "none")
    assert again.means() == {}


def test_names_that_are_given_stay() -> None:
    found = metrics(("a",))
    found.restore_names(["b"])
    assert found.names == ["a"]
    with pytest.raises(UserError, match="a metric 'b' that METRICS does not name - add it there"):
        report(found, "one", b=1.0)


def test_compiled_updates_return_the_same_metrics_each_time() -> None:
    found = metrics(Derived())
    with pytest.raises(UserError, match="'b', which it did not return before"):
        found.admit("one", Outcome({"b": torch.zeros(())}), may_grow=False)
