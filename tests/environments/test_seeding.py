"""A block of the user's own code in which everything is seeded."""

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight.errors import UserError


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts how often it is closed, and remembers the seeds of its resets."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.closed, self.seeds = 0, list[Any]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        return super().reset(seed=seed, options=options)

    def close(self) -> None:
        self.closed += 1
        super().close()


def drawn(env: Any, seed: int) -> list[Any]:
    """Everything that a hand-written training draws in such a block."""
    with footlight.seeded(env, seed) as made:
        numbers = [random.random(), np.random.rand(), torch.rand(()).item()]
        numbers += [made.action_space.sample().tolist(), made.reset()[0].tolist()]
        return [*numbers, made.reset()[0].tolist(), made.observation_space.sample().tolist()]


@pytest.mark.parametrize("kind", ["id", "function", "object"])
def test_equal_seeds_give_equal_numbers(kind: str) -> None:
    def make() -> Any:
        return gymnasium.make("Pendulum-v1")

    def given() -> Any:
        return {"id": "Pendulum-v1", "function": make, "object": make()}[kind]

    first = drawn(given(), 7)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert drawn(given(), 7) == first
    assert all(one != other for one, other in zip(drawn(given(), 8), first, strict=True))


def test_generators_continue_afterwards_from_where_they_were() -> None:
    def numbers() -> list[float]:
        return [random.random(), float(np.random.rand()), torch.rand(()).item()]

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = numbers()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])

    def stopped() -> None:
        with footlight.seeded("Pendulum-v1", 1):
            numbers()
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert numbers() == expected


def test_environment_is_the_same_object_and_closed_once() -> None:
    env = Watched(gymnasium.make("Pendulum-v1"))
    with footlight.seeded(env, 3) as made:
        assert made is env
        made.reset()
        made.reset()
        assert not env.closed
    assert (env.seeds, env.closed) == ([3, None], 1)


def test_seed_given_to_the_first_reset_counts() -> None:
    env = Watched(gymnasium.make("Pendulum-v1"))
    with footlight.seeded(env, 3):
        env.reset(seed=9)
        env.reset()
    assert env.seeds == [9, None]


def test_vector_environment() -> None:
    def first() -> Any:
        with footlight.seeded(gymnasium.make_vec("CartPole-v1", 3), 4) as envs:
            return envs.action_space.sample().tolist(), envs.reset()[0].tolist()

    assert first() == first()


def test_wrong_seeds_and_environments_are_refused() -> None:
    wrong: list[Any] = [-1, 2**32, 1.5, None]
    for seed in wrong:
        with pytest.raises(UserError, match="seed"), footlight.seeded("Pendulum-v1", seed):
            pass
    with (
        pytest.raises(UserError, match="did you mean 'Pendulum-v1'"),
        footlight.seeded("Pendulm-v1", 1),
    ):
        pass
