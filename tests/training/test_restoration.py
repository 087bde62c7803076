"""Restored environments: announced if that takes long, and refused if they are others."""

import numpy as np
import pytest

from footlight.training.restoration import announce_restoration, check_restoration


@pytest.mark.parametrize(
    ("name", "not_restored", "steps", "verdict"),
    [
        # Its own environment, which does not come out where it stood: that is said elsewhere
        (None, True, 0, None),
        ("Other", False, 10, None),
        ("Other", False, 9, "resumed in Other, which is not known to be Walk"),
        ("Other", False, 0, "resumed in Other, which is not known to be Walk"),
    ],
)
def test_few_steps_do_not_identify_an_environment(
    name: str | None, not_restored: bool, steps: int, verdict: str | None
) -> None:
    assert (
        check_restoration(name, {"environment": "Walk", "resume": "exact"}, not_restored, steps)
        == verdict
    )


def test_nondeterministic_environment_may_have_another_name() -> None:
    record = {"environment": "Walk", "resume": "nondeterministic: ..."}
    assert (
        check_restoration("Other", record, True, 100)
        == "resumed in Other, which is not known to be Walk"
    )


@pytest.mark.parametrize(("steps", "said"), [(5_000, []), (5_001, ["repeating 5,001 steps"])])
def test_long_restoration_is_announced(steps: int, said: list[str]) -> None:
    lines: list[str] = []
    arrays = {
        "actions.0": np.zeros((5_000, 1)),
        "actions.1": np.zeros((steps - 5_000, 1)),
        "observation": np.zeros((2, 3)),
    }
    assert announce_restoration(arrays, lines.append) == steps
    assert [line[: len("repeating 5,001 steps")] for line in lines] == said
