"""State of the vector CartPole in checkpoints: restored bit for bit; other states are refused."""

from typing import Any

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from safetensors.numpy import load, save

from footlight.environments.make import make
from footlight.environments.snapshots import why_unknown
from footlight.environments.vector import VectorEnvironments
from footlight.errors import EnvironmentFault
from footlight.types import Array, Transition


def cartpoles(num_envs: int, seed: int = 7, name: str = "CartPole-v1") -> VectorEnvironments:
    environments = make(name, seed, num_envs, vectorization="native")
    assert isinstance(environments, VectorEnvironments)
    environments.reset()
    return environments


def play(environments: VectorEnvironments, num_steps: int) -> list[Transition]:
    generator = np.random.default_rng(0)
    return [
        environments.step(generator.integers(0, 2, environments.num_envs)) for _ in range(num_steps)
    ]


def saved(environments: VectorEnvironments) -> dict[str, Array]:
    """What a checkpoint holds once it is read again."""
    return load(
        save({name: np.asarray(array, order="C") for name, array in environments.arrays().items()})
    )


@pytest.mark.parametrize("num_steps", [0, 1, 17, 41])
def test_restored_environments_continue_bit_for_bit(num_steps: int) -> None:
    straight = cartpoles(6)
    play(straight, num_steps)
    resumed = make("CartPole-v1", 7, 6, vectorization="native")
    assert resumed.restore(saved(straight)) == []
    assert isinstance(resumed, VectorEnvironments)
    for a, b in zip(play(resumed, 60), play(straight, 60), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(a[:6], b[:6], strict=True))
        assert np.array_equal(
            np.ones(6) if a.valid is None else a.valid, np.ones(6) if b.valid is None else b.valid
        )
    assert resumed.finished == straight.finished
    mine, theirs = saved(resumed), saved(straight)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_restore_before_the_first_step_of_an_episode() -> None:
    straight = cartpoles(6)
    while not (straight.env.prev_done.any() and not straight.env.prev_done.all()):
        play(straight, 1)
    resumed = cartpoles(6, seed=8)
    assert resumed.restore(saved(straight)) == []
    (one,), (other,) = play(resumed, 1), play(straight, 1)
    assert one.valid is not None
    assert other.valid is not None
    assert one.valid.tolist() == other.valid.tolist()
    assert np.array_equal(
        one.next_observation, other.next_observation
    )  # drawn by the restored generator


def test_restore_without_a_state_begins_new_episodes() -> None:
    straight = cartpoles(3)
    known = ("episode.index", "episode.total", "episode.length", "observation")
    old = {
        name: array for name, array in saved(straight).items() if name in known
    }  # as older checkpoints are
    resumed = cartpoles(3)
    assert resumed.restore(old) == [0, 1, 2]
    assert resumed.tracker.index.tolist() == [1, 1, 1]
    assert not np.array_equal(resumed.observation, straight.observation)


def test_state_after_a_fault_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    environments = cartpoles(3)
    step = environments.env.step
    monkeypatch.setattr(
        type(environments.env),
        "step",
        lambda self, action: (*step(action)[:1], np.full(3, np.nan), 0, 0, {}),
    )
    before = environments.observation.copy()
    with pytest.raises(EnvironmentFault):
        environments.step(np.zeros(3, np.int64))
    monkeypatch.undo()
    assert np.array_equal(environments.arrays()["observation"], before)
    assert not [
        name for name in environments.arrays() if name.startswith("native.")
    ]  # it has moved on since
    environments.reset()
    assert "native.state" in environments.arrays()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("native.state", lambda array: array[:, :2]),
        ("native.state", lambda array: array.astype(np.float32)),
        ("native.state", lambda array: array * np.nan),
        ("native.state", lambda array: array + 1),  # which is not what was observed
        ("native.steps", lambda array: array - 100),
        ("native.steps", lambda array: array.astype(np.int64)),
        ("native.prev_done", lambda array: array.astype(np.uint8)),
        ("native.resetting", lambda array: array[:1]),
        ("native.np_random", lambda array: array[:4]),
        ("native.np_random", lambda array: array & np.uint64(2**64 - 2)),  # an even increment
        ("native.np_random", lambda array: array | np.array([0, 0, 0, 0, 2, 0], np.uint64)),
        ("native.np_random", lambda array: array | np.array([0, 0, 0, 0, 0, 2**32], np.uint64)),
        ("episode.index", lambda array: array - 100),
        ("episode.total", lambda array: array * np.inf),
        ("episode.length", lambda array: array[:2]),
        ("observation", lambda array: array * np.float32(np.nan)),
    ],
)
def test_states_of_other_environments_are_refused(name: str, change: Any) -> None:
    environments = cartpoles(3)
    play(environments, 12)
    arrays = saved(environments)
    with pytest.raises(
        ValueError, match=r"saved|expected|finite|negative|not the state|not those|reshape"
    ):
        cartpoles(3).restore({**arrays, name: change(arrays[name])})
    with pytest.raises(KeyError):
        cartpoles(3).restore(
            {key: array for key, array in arrays.items() if key not in (name, "episode.index")}
        )


def test_state_of_subclasses_and_changed_instances_is_unknown() -> None:
    class Shaped(CartPoleVectorEnv):
        """Could hold anything."""

    assert why_unknown(CartPoleVectorEnv(2)) is None
    assert (
        why_unknown(Shaped(2))
        == "the state of a vector environment of class Shaped cannot be saved"
    )
    changed, other = CartPoleVectorEnv(2), CartPoleVectorEnv(2)
    changed.wind = np.zeros(2)  # type: ignore[attr-defined]
    assert str(why_unknown(changed)).endswith(
        "cannot be saved, as it has an unknown attribute wind"
    )
    other.np_random = np.random.Generator(np.random.Philox(0))
    assert str(why_unknown(other)).endswith("cannot be saved, as its random generator is not PCG64")
    environments = VectorEnvironments(Shaped(2), 7, "episode")
    environments.reset()
    assert environments.restore(environments.arrays()) == [0, 1]
