"""What a hook sees, apart from a run: see `test_user_hooks.py` for runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from footlight.errors import UserError
from footlight.training.hook_context import HookContext
from footlight.training.loop import Step
from footlight.types import Transition


class Learned:
    """Stands in for an agent."""

    def __init__(self) -> None:
        self.num_steps = 40
        self.algorithm = SimpleNamespace(METRICS=("loss",))
        self.changes: dict[str, float] = {}

    def set(self, **values: float) -> None:
        self.changes |= values


@pytest.fixture
def context() -> HookContext:
    session: Any = SimpleNamespace(
        agent=Learned(), options=SimpleNamespace(steps=100), stop_reason=None,
        interruption=SimpleNamespace(wants_checkpoint=False),
    )  # fmt: skip
    evaluator: Any = SimpleNamespace(at=lambda step: f"that of {step}", environments="some")
    videos: Any = SimpleNamespace(can_record=True)
    return HookContext(session, evaluator, videos)


def step() -> Step:
    reward = np.ones(2, np.float32)
    flags = np.zeros(2, bool)
    transition = Transition(reward, reward, reward, reward, flags, flags, None)
    return Step(40, 38, False, transition, [], {"loss": 0.5})


def test_before_the_first_step_there_is_nothing_of_a_step(context: HookContext) -> None:
    assert (context.step, context.total_steps) == (40, 100)
    assert (context.metrics, context.episodes, context.transition) == ({}, [], None)
    assert not context.is_last
    assert not context.crosses(1)


def test_what_a_step_holds_cannot_be_changed_through_the_context(context: HookContext) -> None:
    context._step = step()
    context.metrics["loss"] = 9.0
    context.episodes.append(None)  # type: ignore[arg-type]
    transition = context.transition
    assert transition is not None
    assert transition.valid is None
    with pytest.raises(ValueError, match="read-only"):
        transition.reward[0] = 9
    assert context.metrics == {"loss": 0.5}
    assert context.episodes == []
    assert context.evaluation == "that of 40"
    assert [context.crosses(interval) for interval in (20, 25, 0)] == [True, False, False]


def test_requests_reach_what_fulfils_them(context: HookContext) -> None:
    context.request_evaluation()
    context.request_video()
    context.request_checkpoint()
    context.stop("enough")
    context.set(learning_rate=0.5)
    session: Any = context._session
    assert context._wants_evaluation
    assert context._wants_video
    assert session.interruption.wants_checkpoint
    assert session.stop_reason == "enough"
    assert session.agent.changes == {"learning_rate": 0.5}


def test_numbers_of_all_kinds_are_logged_as_floats(context: HookContext) -> None:
    context.log(a=1, b=np.float32(0.5), c=torch.tensor(2.0), d=np.array([3.0]), e=True)
    assert context._numbers == {"a": 1.0, "b": 0.5, "c": 2.0, "d": 3.0, "e": 1.0}
    for wrong in ({"loss": 1.0}, {"time_s": 1.0}, {"x": "1"}, {"x": None}, {"x": np.zeros(2)}):
        with pytest.raises(UserError):
            context.log(**wrong)  # type: ignore[arg-type]
