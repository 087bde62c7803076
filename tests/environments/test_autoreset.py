"""Autoreset modes that vector environments declare, and those that follow an older interface."""

import runpy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import footlight
from footlight.environments.autoreset import SeedForEach, autoreset_mode, has_rows
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


@pytest.mark.parametrize("mode", [None, "Next", "same_step", 1])
def test_unknown_mode_is_refused(counting_env: Counting, mode: Any) -> None:
    env = SyncVectorEnv([counting_env])
    env.metadata = {**env.metadata, "autoreset_mode": mode}
    remedy = (
        r"set it to the environment's gymnasium\.vector\.AutoresetMode: "
        r"docs/environments\.md#vector-environments"
    )
    with pytest.raises(UserError, match=rf"autoreset_mode'\] is {mode!r} - .* - {remedy}"):
        VectorEnvironments(env, 0, "episode")
    env.metadata.pop("autoreset_mode")
    with pytest.raises(UserError, match="is None"):
        VectorEnvironments(env, 0, "episode")


@pytest.mark.parametrize("mode", MODES)
def test_mode_may_be_given_by_name(counting_env: Counting, mode: AutoresetMode) -> None:
    env = SyncVectorEnv([counting_env], autoreset_mode=mode)
    for word in (mode.name, mode.value):
        env.metadata = {**env.metadata, "autoreset_mode": word}
        assert VectorEnvironments(env, 0, "episode").mode == mode


class Agents(VectorEnv[Any, Any, Any]):
    """Three agents as SuperSuit makes them a vector environment: an older Gymnasium's interface."""

    metadata = {"render_modes": ["human"]}  # noqa: RUF012
    num_envs = 3
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        self.steps = 0
        return self.observe(), [{} for _ in range(3)]

    def step(self, actions: Any) -> Any:
        assert actions.shape == (3,)
        assert actions.dtype == np.int64
        self.steps += 1
        observation, infos = self.observe(), [{} for _ in range(3)]
        if self.steps == 5:
            infos = [{"terminal_observation": row} for row in observation]
            observation, _ = self.reset()
        ended = np.full(3, self.steps == 0, np.uint8)
        return observation, np.arange(3, dtype=np.float32), np.zeros(3, np.uint8), ended, infos

    def observe(self) -> Any:
        return np.stack([np.arange(3), np.full(3, self.steps)], 1).astype(np.float32)


def test_older_interface_is_refused_and_the_documented_wrapper_works(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        UserError,
        match=r"Agents has no single_observation_space .* docs/environments\.md#supersuit",
    ):
        VectorEnvironments(Agents(), 7, "episode")
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")
    assert "\n## SuperSuit\n" in page
    assert "\n## Vector environments\n" in page
    (tmp_path / "recipe.py").write_text(
        page.partition("\n## SuperSuit\n")[2].partition("```python\n")[2].partition("```")[0],
        encoding="utf-8",
    )
    wrapped = runpy.run_path(str(tmp_path / "recipe.py"))["Agents"](Agents())
    environments = VectorEnvironments(wrapped, 7, "episode")
    environments.reset()
    steps = [environments.step(np.zeros(3, np.int64)) for _ in range(6)]
    assert [step.next_observation[:, 1].tolist() for step in steps[3:]] == [
        [4, 4, 4],
        [5, 5, 5],
        [1, 1, 1],
    ]
    assert [step.observation[:, 1].tolist() for step in steps[3:]] == [
        [3, 3, 3],
        [4, 4, 4],
        [0, 0, 0],
    ]
    assert [step.truncated.all() for step in steps] == [False, False, False, False, True, False]
    assert environments.tracker.index.tolist() == [1, 1, 1]
    settings: dict[str, Any] = {"steps": 60, "compile": "off", "quiet": True}
    run = footlight.train("a2c", wrapped, run_dir=tmp_path / "run", **settings)
    assert run.result["status"] == "finished"  # type: ignore[index]


def test_only_vector_environments_of_single_ones_have_rows(counting_env: Counting) -> None:
    assert has_rows(SyncVectorEnv([counting_env]))
    assert has_rows(gymnasium.wrappers.vector.NormalizeObservation(SyncVectorEnv([counting_env])))
    assert not has_rows(
        gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    )
    processes = AsyncVectorEnv([counting_env])
    assert has_rows(processes)
    processes.close()


def test_class_with_the_attribute_takes_a_seed_for_each(counting_env: Counting) -> None:
    class Seeded(SyncVectorEnv):
        takes_seed_for_each = True

    assert isinstance(Seeded([counting_env]), SeedForEach)
    assert not isinstance(SyncVectorEnv([counting_env]), SeedForEach)
    assert autoreset_mode(Seeded([counting_env])) == AutoresetMode.NEXT_STEP
