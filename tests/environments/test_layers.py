"""Attributes of an environment and its wrappers, layer by layer."""

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit, TransformReward, vector

from footlight.environments.attributes import plain
from footlight.environments.layers import layer_attributes, same_items


class Goal(gymnasium.Env[np.ndarray, np.ndarray]):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, goal: float = 1.0) -> None:
        self.goal, self.simulator, self.render_mode = goal, object(), "human"


def test_layers_from_the_outside_in() -> None:
    layers = layer_attributes(TimeLimit(TransformReward(Goal(), float), 7))
    assert [layer["class"] for layer in layers] == ["TimeLimit", "TransformReward", "Goal"]
    assert layers[0]["_max_episode_steps"] == 7
    assert layers[2]["goal"] == 1.0


def test_attributes_that_cannot_be_compared_or_say_nothing_are_left_out() -> None:
    (layer,) = layer_attributes(Goal())
    assert layer == {"class": "Goal", "goal": 1.0}


def test_wrappers_without_an_effect_are_skipped() -> None:
    made = gymnasium.make("Pendulum-v1")
    assert [layer["class"] for layer in layer_attributes(made)] == ["TimeLimit", "PendulumEnv"]


def test_records_of_earlier_episodes_are_left_out() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("Pendulum-v1"))
    before = layer_attributes(env)
    env.reset(seed=0)
    for _ in range(200):
        env.step(env.action_space.sample())
    assert env.episode_count == 1
    assert layer_attributes(env)[0] == before[0]


def test_layers_of_one_row_of_a_vector_environment() -> None:
    env = vector.NormalizeReward(SyncVectorEnv([Goal, lambda: Goal(2.0)]))
    layers = layer_attributes(env, 1)
    assert [layer["class"] for layer in layers] == ["NormalizeReward", "Goal"]
    assert layers[1]["goal"] == 2.0
    assert layers[0]["gamma"] == plain(env.gamma)
    # It has a number for each environment, of which a copy may have fewer
    assert "accumulated_reward" not in layers[0]


def test_same_items() -> None:
    assert same_items({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4}) == {"a": 1}
