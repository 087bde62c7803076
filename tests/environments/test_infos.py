"""The info of an episode's last step: the same however environments are stepped."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from footlight.environments.infos import LIFE_LOST, MAX_KEPT, kept_info, last_infos
from footlight.environments.make import make
from footlight.environments.source import EnvironmentSource


class Informed(gymnasium.Env[Any, Any]):
    """Ends after two steps; its infos hold all sorts of values."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {"time": -1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        info: dict[str, Any] = {"time": self.time}
        if self.time == 2:
            info |= {"is_success": bool(action), "position": np.arange(3.0), "part": {"x": 0.5}}
        return np.zeros(2, np.float32), 1.0, self.time == 2, False, info


LAST = {"time": 2, "position": [0.0, 1.0, 2.0], "part": {"x": 0.5}}


@pytest.mark.parametrize("how", ["sync", "async", *AutoresetMode])
def test_finished_episodes_have_the_info_of_their_last_step(how: Any) -> None:
    given: Any = Informed
    if isinstance(how, AutoresetMode):
        given, how = SyncVectorEnv([Informed] * 2, autoreset_mode=how), "auto"
    environments = make(EnvironmentSource.of(given), 0, 2, vectorization=how)
    try:
        environments.reset()
        environments.step(np.array([0, 1]))
        assert not environments.finished
        environments.step(np.array([0, 1]))
        failed, succeeded = environments.finished
        assert failed.info == {**LAST, "is_success": False}
        assert succeeded.info == {**LAST, "is_success": True}
    finally:
        environments.close()


def test_only_what_can_be_logged_is_kept() -> None:
    info = {
        "flag": np.True_, "number": np.float32(0.5), "text": "north", "row": np.arange(2),
        "deep": {"deeper": {"x": 1}, "nothing": {"object": object()}},
        "image": np.zeros((8, 9)), "long": "x" * (MAX_KEPT + 1), "object": object(), "none": None,
        "objects": np.array([None]), 3: 4, LIFE_LOST: True,
    }  # fmt: skip
    assert kept_info(info) == {
        "flag": True, "number": 0.5, "text": "north", "row": [0, 1], "deep": {"deeper": {"x": 1}},
    }  # fmt: skip


def test_values_without_a_mask_hold_for_every_environment() -> None:
    info = {"lives": np.array([3, 2]), "_own": np.array([1, 2]), "note": "of all", "x": {}}
    kept = partial(last_infos, info, [1])
    assert kept(same_step=False) == [{"lives": 2, "_own": 2, "x": {}}]
    assert kept(same_step=True) is None
