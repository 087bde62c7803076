"""Evidence: series, when something began, and how returns have developed."""

import pytest
from doctor_runs import FLAT, RISING, evidence

from footlight.doctor.evidence import NotJudged, Series


def high(value: float) -> bool:
    return value > 5


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1, 9, 9, 9], 2),
        ([9, 1, 9, 9], 3),  # since when it has been so to the end
        ([1, 9, 1, 1], 2),
        ([1, 1, 1, 1], None),
        ([9, 9, 9, 9], 1),
    ],
)
def test_beginning_of_what_is_bad(values: list[float], step: int | None) -> None:
    assert Series("x", [1, 2, 3, 4], values).first(high) == step


def test_later_part_of_a_series() -> None:
    part = Series("x", [10, 20, 30], [1, 2, 3]).since(0.5, 30)
    assert (part.steps, part.values) == ([20, 30], [2, 3])


def test_progress_of_returns() -> None:
    rising, falling, flat = (evidence(each).progress for each in (RISING, RISING[::-1], FLAT))
    assert rising is not None
    assert falling is not None
    assert flat is not None
    assert (rising.is_improved, rising.is_worse) == (True, False)
    assert (falling.is_improved, falling.is_worse) == (False, True)
    assert (flat.is_improved, flat.is_worse) == (False, False)
    assert evidence(FLAT[:5]).progress is None


def test_goal_that_exploration_reaches_by_chance_hides_no_progress() -> None:
    first = [-33.0, 59.0, 73.0, 83.0, 53.0, 89.0, 89.0, 94.0, 90.0, -47.0]
    learned = [90.0 + index % 5 for index in range(90)]
    assert evidence(first + learned).is_learning
    assert not evidence(first * 10).is_learning


def test_more_episodes_show_progress_that_few_hide() -> None:
    episodes = [-200.0 + index % 5 for index in range(20)] + [500.0] * 17 + [-100.0, 100.0, 1500.0]
    progress = evidence(episodes).progress
    assert progress is not None
    assert progress.is_improved


def test_diagnostics_before_the_first_update_are_left_out() -> None:
    found = evidence(critic_bias=[5.0] * 4 + [0.0] * 6)
    for row in found.run.diagnostics[:4]:
        row["update"] = 0
    assert found.trained("critic_bias").values == [0.0] * 6
    for row in found.run.diagnostics:
        row["update"] = 0
    with pytest.raises(NotJudged, match="no evaluation followed an update"):
        found.trained("critic_bias")


def test_what_is_missing_is_named() -> None:
    found = evidence(critic_bias=None)
    with pytest.raises(NotJudged, match="no diagnostic critic_bias"):
        found.diagnostic("critic_bias")
    with pytest.raises(NotJudged, match="does not report nothing"):
        found.metric("nothing")
    with pytest.raises(NotJudged, match="no number n_steps"):
        found.number("n_steps")


def test_columns_of_networks() -> None:
    assert {*evidence().of_networks("dormant")} == {"actor", "critic"}


@pytest.mark.parametrize(
    ("means", "std", "learns"),
    [
        ([-20, 80, -60, -50, 93, 92, 94, 94, 94, 94, 94, 94], 0.5, True),
        ([-20, 80, -60, -50, 93, 92, 94, 94, 94, 94, 94, 79], 0.5, False),  # one is below
        ([-20, 80, -60, -50, 93, 92, 94, 94, 94, 94, 94, 94], 90.0, False),  # episodes differ more
        ([-20, 80, -60, 93, 92, 94, 94, 94, 94, 94, 94], 0.5, False),  # too few
    ],
)
def test_evaluations_show_learning_where_exploring_reaches_the_goal(
    means: list[float], std: float, learns: bool
) -> None:
    found = evidence(FLAT)
    found.run.evaluations[:] = [
        {"step": step, "mean_return": mean, "std_return": std} for step, mean in enumerate(means)
    ]
    assert found.is_learning is learns
