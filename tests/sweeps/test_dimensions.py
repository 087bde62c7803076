"""What a sweep searches, and what it refuses to."""

from typing import Any

import numpy as np
import pytest

from footlight.algorithms.sac import Config
from footlight.config.fields import fields
from footlight.errors import UserError
from footlight.sweeps.dimensions import Between, Choices, dimension, label, plain

FIELDS = fields(Config)


def of(name: str, given: Any) -> Any:
    return dimension(name, given, FIELDS[name], "FILE")


def test_grid_of_a_range_is_at_equal_distances_and_has_both_ends() -> None:
    assert of("tau", {"low": 0.0, "high": 1.0, "count": 3}).grid() == (0.0, 0.5, 1.0)
    found = of("tau", {"low": 1e-4, "high": 1e-2, "log": True, "count": 3}).grid()
    assert found == pytest.approx((1e-4, 1e-3, 1e-2))
    assert of("batch_size", {"low": 1, "high": 3, "count": 9}).grid() == (1, 2, 3)
    assert of("batch_size", [32, 64]).grid() == (32, 64)


def test_draws_are_uniform_in_the_range_or_in_its_logarithm() -> None:
    stream = np.random.default_rng(0)
    sizes = of("batch_size", {"low": 1, "high": 4})
    counts = np.bincount([sizes.draw(stream) for _ in range(4000)])[1:]
    assert counts.size == 4
    assert np.all(abs(counts - 1000) < 5 * np.sqrt(750))  # five standard deviations
    rates = of("learning_rate", {"low": 1e-5, "high": 1e-1, "log": True})
    drawn = np.log10([rates.draw(stream) for _ in range(4000)])
    assert abs(drawn.mean() + 3) < 5 * 4 / np.sqrt(12 * 4000)
    assert drawn.min() >= -5
    assert drawn.max() <= -1
    choice = of("hidden_sizes", [[8], [8, 8]])
    assert {choice.draw(stream) for _ in range(100)} == {(8,), (8, 8)}


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("tau", {"low": 0.5, "high": 0.1}, "low must be below high"),
        ("tau", {"low": 0.1, "high": 0.1}, "low must be below high"),
        ("tau", {"low": 0.1, "high": float("inf")}, "give a number"),
        ("batch_size", {"low": 1, "high": 10**400}, "give a number"),
        ("tau", {"low": 0, "high": 1, "count": 10**9}, "give an integer from 2"),
        ("tau", {"low": 0, "high": 1, "log": True}, "a logarithm needs low > 0"),
        ("tau", {"low": "a", "high": 1}, "give a number"),
        ("tau", {"low": True, "high": 1}, "give a number"),
        ("tau", {"low": 0, "high": 1, "log": 3}, "give true or false"),
        ("tau", {"low": 0, "high": 1, "count": 1}, "give an integer from 2"),
        ("tau", {"low": 0, "high": 1, "step": 0.1}, "a range has low, high, log and count"),
        ("tau", {"low": 0}, "give a list of choices, or"),
        ("tau", 0.1, "belongs in \\[values\\]"),
        ("tau", [], "is an empty list"),
        ("tau", [0.1, 0.2, 0.1], "the same choice twice"),
        ("batch_size", {"low": 1, "high": 2.5}, "it is an integer"),
        ("hidden_sizes", {"low": 1, "high": 2}, "is not a number"),
    ],
)
def test_wrong_dimension_is_refused(name: str, given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        of(name, given)


def test_as_text_and_as_plain_data() -> None:
    assert label((8, 8)) == plain((8, 8)) == "[8, 8]"
    assert label("adam") == plain("adam") == "adam"
    assert (label(True), plain(True)) == ("true", True)
    ranged = {"low": 1, "high": 3, "log": True, "count": 2}
    assert of("batch_size", ranged) == Between("batch_size", 1, 3, True, 2, True)
    assert of("batch_size", ranged).to_json() == ranged
    assert Choices("tau", (1, 2)).to_json() == [1, 2]
