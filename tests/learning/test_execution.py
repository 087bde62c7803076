"""How an agent computes: what is refused, and when updates are compiled."""

from typing import Any

import numpy as np
import pytest
import torch

from footlight.errors import UserError
from footlight.learning.execution import Execution
from footlight.learning.learner import UPDATES_WORTH_COMPILING


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"compile": "yes"}, "compile is 'yes' - it must be one of auto, on, off"),
        ({"threads": 0}, "threads is 0 - it must be"),
        ({"threads": 1.5}, "threads is 1.5 - it must be"),
        ({"device": "gpu"}, "device is 'gpu' - it must be cpu or cuda"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Execution(**values)


def test_a_gpu_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="has no CUDA device - use cpu"):
        Execution(device="cuda")


def test_split_takes_its_own_names_and_leaves_the_others() -> None:
    execution, rest = Execution.split({"gamma": 0.9, "compile": "off", "treads": 2})
    assert execution == Execution(compile="off")
    assert rest == {"gamma": 0.9, "treads": 2}


@pytest.mark.parametrize(
    ("compile", "num_updates", "enabled", "later"),
    [
        ("on", 0, True, False),
        ("on", None, True, False),
        ("off", 10 * UPDATES_WORTH_COMPILING, False, False),
        ("off", None, False, False),
        ("auto", UPDATES_WORTH_COMPILING - 1, False, False),
        ("auto", UPDATES_WORTH_COMPILING, True, False),
        ("auto", None, False, True),
    ],
)
def test_when_updates_are_compiled(
    compile: Any, num_updates: int | None, enabled: bool, later: bool
) -> None:
    assert Execution(compile=compile).when_to_compile(num_updates) == (enabled, later)


@pytest.mark.parametrize("num_updates", [None, 10 * UPDATES_WORTH_COMPILING])
def test_auto_stays_eager_on_a_gpu(
    num_updates: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Execution(device="cuda").when_to_compile(num_updates) == (False, False)


def test_threads_are_set_only_if_given() -> None:
    Execution(threads=np.int64(2)).set_threads()  # type: ignore[arg-type]
    assert torch.get_num_threads() == 2
    Execution().set_threads()
    assert torch.get_num_threads() == 2
