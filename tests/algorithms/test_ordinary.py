"""Algorithms in ordinary PyTorch: any optimizer, dropout, own decisions, and their mistakes."""

import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import TorchA2C, torch_module
from proof_of_runs import arrays_of
from torch import nn

import footlight
from footlight.algorithms.authoring import OffPolicyReplay, Outcome, replay_buffer
from footlight.algorithms.completion import complete
from footlight.algorithms.ordinary import Ordinary
from footlight.algorithms.ordinary_parts import StateHolder
from footlight.errors import Diverged, UserError
from footlight.learning.policy import load

OBSERVED, CHOICE = gymnasium.spaces.Box(-1, 1, (4,), np.float32), gymnasium.spaces.Discrete(2)
BRIEF: dict[str, Any] = {
    "num_envs": 2, "seed": 1, "threads": 1, "quiet": True, "compile": "off", "eval_every": 0,
    "eval_episodes": 2,
}  # fmt: skip


def agent(algorithm: Any, acted: Any = CHOICE, **fields: Any) -> footlight.Agent:
    return footlight.Agent(algorithm, OBSERVED, acted, num_envs=2, **fields)


def adapter(agent: footlight.Agent) -> Any:
    return agent.algorithm


def observe(agent: footlight.Agent, steps: int, seed: int = 0) -> None:
    world = np.random.default_rng(seed)
    for _ in range(steps):
        seen, then = world.uniform(-1, 1, (2, 2, 4)).astype(np.float32)
        action = agent.act(seen, explore=True)
        agent.observe(seen, action, np.ones(2), then, np.zeros(2, bool), np.zeros(2, bool))


def optimized_by(make: Any) -> Any:
    """The documented algorithm with another optimizer, dropout and a counter."""

    class Mine(TorchA2C):  # type: ignore[misc]
        def __init__(self, config: Any, spaces: Any) -> None:
            super().__init__(config, spaces)
            self.policy = nn.Sequential(
                nn.Linear(4, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 2)
            )
            self.learned = [*self.policy.parameters(), *self.critic.parameters()]
            self.optimizer = make(self.learned)
            self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.5)
            self.count = 0

        def update(self, batch: Any) -> Any:
            self.count += 1
            return {**super().update(batch), "count": self.count, "noise": torch.rand(())}

    return Mine


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_resumes_exactly(name: str, tmp_path: Path) -> None:
    kind = optimized_by(OPTIMIZERS[name])
    whole, part = (
        footlight.train(kind, "CartPole-v1", steps=n, run_dir=tmp_path / f"{n}", **BRIEF)
        for n in (320, 160)
    )
    footlight.resume(part.folder, algorithm=kind, steps=320, quiet=True)
    assert arrays_of(part.folder) == arrays_of(whole.folder)
    user = adapter(footlight.Agent.load(part.folder, algorithm=kind)).user
    assert user.count == 10
    assert user.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 2**5)
    assert user.optimizer.state


def test_random_numbers_are_those_of_the_seed_and_the_users_stay() -> None:
    made = [agent(optimized_by(OPTIMIZERS["momentum"]), seed=3) for _ in range(2)]
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    for each in made:
        observe(each, 40)
    assert torch.rand(2).equal(wanted)
    first, second = (each.policy.arrays() for each in made)
    assert {n: a.tobytes() for n, a in first.items()} == {n: a.tobytes() for n, a in second.items()}
    assert made[0].policy.act(np.zeros((3, 4), np.float32)).shape == (3,)


def test_it_acts_in_evaluation_mode_and_learns_in_training_mode() -> None:
    mine = agent(optimized_by(OPTIMIZERS["momentum"]))
    observe(mine, 3)
    user = adapter(mine).user
    assert user.policy.training
    seen = np.ones((50, 4), np.float32)
    assert len({*mine.policy.act(seen).tolist()}) == 1  # no dropout


def test_an_optimizer_with_a_closure_resumes_exactly(tmp_path: Path) -> None:
    class Mine(TorchA2C):  # type: ignore[misc]
        def __init__(self, config: Any, spaces: Any) -> None:
            super().__init__(config, spaces)
            self.optimizer = torch.optim.LBFGS(self.learned, 0.1, 3, history_size=2)

        def update(self, batch: Any) -> Any:
            def closure() -> Any:
                self.optimizer.zero_grad()
                output, value = self.policy(batch.observation), self.critic(batch.observation)
                loss = output.square().mean() + (value.squeeze(-1) - batch.reward).square().mean()
                loss.backward()
                return loss

            self.last = self.optimizer.step(closure)  # an attribute that __init__ lacks
            return {"loss": self.last}

    whole, part = (
        footlight.train(Mine, "CartPole-v1", steps=n, run_dir=tmp_path / f"{n}", **BRIEF)
        for n in (192, 96)
    )
    footlight.resume(part.folder, algorithm=Mine, steps=192, quiet=True)
    assert arrays_of(part.folder) == arrays_of(whole.folder)


class Everywhere(TorchA2C):  # type: ignore[misc]
    """Random numbers of Python and NumPy, and a count of decisions."""

    decisions = 0

    def act(self, observation: Any, deterministic: bool) -> Any:
        self.decisions += 1
        chosen = self.policy(observation).argmax(-1, keepdim=True)
        if not deterministic and random.random() < 0.5:
            chosen[0] = int(np.random.randint(2))
        return chosen

    def update(self, batch: Any) -> Any:
        return {**super().update(batch), "random": random.random() + np.random.rand()}


def test_random_numbers_of_python_and_numpy_are_those_of_the_seed() -> None:
    found = []
    for _ in range(2):
        mine = agent(Everywhere, seed=3)
        assert adapter(mine).draws_everywhere
        assert adapter(mine).user.decisions == 0  # what is tried out is a copy
        state = random.getstate()
        observe(mine, 20)
        assert random.getstate() == state
        found.append((adapter(mine).saved().record, mine.learner.latest()))
    assert found[0] == found[1]
    assert not adapter(agent(TorchA2C)).draws_everywhere


def test_every_module_is_evaluated_by_an_own_act() -> None:
    class Mine(TorchA2C):  # type: ignore[misc]
        def __init__(self, config: Any, spaces: Any) -> None:
            super().__init__(config, spaces)
            self.encoder = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))

        def act(self, observation: Any, deterministic: bool) -> Any:
            return self.policy(self.encoder(observation)).argmax(-1, keepdim=True)

    mine = agent(Mine)
    mine.act(np.ones((1, 4), np.float32))  # one row, which has no variance
    encoder = adapter(mine).user.encoder
    assert encoder.training
    assert encoder[0].num_batches_tracked == 0


def test_a_module_that_is_made_later_is_an_error(tmp_path: Path) -> None:
    class Mine(TorchA2C):  # type: ignore[misc]
        def update(self, batch: Any) -> Any:
            self.snapshots = [nn.Linear(1, 1)]
            return super().update(batch)

    mine = agent(Mine)
    observe(mine, 16)
    with pytest.raises(UserError, match=r"Mine\.snapshots\.0 was not there after __init__"):
        mine.save(tmp_path / "mine")


class Deciding:
    """Deterministic actions by itself, from replay, with torch's noise."""

    config: "Settings"
    buffer = replay_buffer
    ACTIONS = ("box",)

    def __init__(self, config: Any, spaces: Any, network: Any = None) -> None:
        make = network or (lambda: nn.Linear(4, 1))
        self.policy, self.targets = make(), [make()]
        self.optimizer = torch.optim.Adam(self.policy.parameters(), config.learning_rate)
        self.config = config

    def act(self, observation: Any, deterministic: bool) -> Any:
        action = self.policy(observation).tanh()
        return action if deterministic else (action + torch.randn_like(action)).clamp(-1, 1)

    def update(self, batch: Any) -> Any:
        error = (self.policy(batch.observation).tanh() - batch.reward[:, None]).square().mean()
        self.optimizer.zero_grad()
        error.backward()
        self.optimizer.step()
        return Outcome({"error": error.detach()})


@dataclass(frozen=True, kw_only=True)
class Settings(OffPolicyReplay):
    learning_rate: float = 1e-2
    gamma: float = 0.9


ACTED = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
SMALL: dict[str, Any] = {"learning_starts": 4, "batch_size": 4, "buffer_size": 50}


def test_replay_and_decisions_of_ones_own(tmp_path: Path) -> None:
    mine, other = (agent(Deciding, ACTED, seed=2, **SMALL) for _ in range(2))
    for each in (mine, other):
        observe(each, 30)
    assert mine.num_updates > 3
    mine.save(tmp_path / "agent")
    again = footlight.Agent.load(tmp_path / "agent", algorithm=Deciding)
    for each in (again, other):
        observe(each, 30, seed=1)
    assert adapter(again).saved().record == adapter(other).saved().record
    seen = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(again.policy.act(seen), other.policy.act(seen))
    np.testing.assert_array_equal(
        again.policy.act(seen, deterministic=False), other.policy.act(seen, deterministic=False)
    )
    loaded = load(tmp_path / "agent", algorithm=Deciding)
    assert np.abs(loaded.act(seen)).max() <= 2


def test_network_is_passed_on() -> None:
    mine = agent(Deciding, ACTED, network=lambda: nn.Linear(4, 1, bias=False), **SMALL)
    assert mine.num_parameters == 8
    with pytest.raises(UserError, match=r"TorchA2C.create failed.*network"):
        agent(TorchA2C, network=nn.Linear)


def test_scheduled_config_field_is_a_number_for_the_author() -> None:
    from typing import Annotated

    from footlight.config.fields import SCHEDULABLE

    @dataclass(frozen=True)
    class Config(torch_module.Config):  # type: ignore[misc]
        bonus: Annotated[float, SCHEDULABLE] = 1.0

    class Mine(TorchA2C):  # type: ignore[misc]
        config: Config

        def __init__(self, config: Any, spaces: Any) -> None:
            super().__init__(config, spaces)
            self.config = config

        def update(self, batch: Any) -> Any:
            return {"bonus": self.config.bonus}

    Mine.__annotations__["config"] = Config
    mine = agent(Mine)
    mine.set(bonus=0.25)
    observe(mine, 16)
    assert mine.learner.latest() == {"bonus": 0.25}


def changed(**members: Any) -> Any:
    return type("Mine", (TorchA2C,), {"__module__": __name__, **members})


@pytest.mark.parametrize("value", [None, {}, {"loss": None}, {"loss": torch.ones(2)}, 3])
def test_wrong_return_value_of_update(value: Any) -> None:
    with pytest.raises(UserError, match=r"Mine\.update returned .* (end it|take its mean)"):
        agent(changed(update=lambda self, batch: value))


@pytest.mark.parametrize("value", [None, {}, torch.zeros(5)])
def test_wrong_return_value_of_act(value: Any) -> None:
    with pytest.raises(UserError, match=r"Mine\.act returned .* `return action`"):
        agent(changed(act=lambda self, observation, deterministic: value))


def init_with(**attributes: Any) -> Any:
    def init(self: Any, config: Any, spaces: Any) -> None:
        TorchA2C.__init__(self, config, spaces)
        for name, value in attributes.items():
            setattr(self, name, value)

    return changed(__init__=init)


def test_what_the_object_lacks_is_named() -> None:
    with pytest.raises(UserError, match=r"Mine has no `policy` .* add `self.policy = "):
        agent(init_with(policy=None))
    with pytest.raises(UserError, match=r"Mine.policy returns \[2, 3\] for 2 .* return \[2, 2\]"):
        agent(init_with(policy=nn.Linear(4, 3)))
    with pytest.raises(UserError, match=r"Mine.history is a set, which no checkpoint can hold"):
        agent(init_with(history={1}))


def test_non_finite_weights_are_a_divergence() -> None:
    mine = agent(TorchA2C)
    with torch.no_grad():
        adapter(mine).user.critic[0].bias[0] = torch.inf
    with pytest.raises(Diverged, match="bias"):
        mine.learner.require_finite()


def test_completed_class_holds_its_state() -> None:
    kind = complete(TorchA2C)
    assert issubclass(kind, Ordinary)
    made = agent(TorchA2C).algorithm
    assert isinstance(made, StateHolder)
    assert made.num_parameters == 4 * 64 + 64 + 64 * 2 + 2 + 4 * 64 + 64 + 64 + 1


def test_action_that_fails_for_weights_of_nan_is_a_divergence(tmp_path: Path) -> None:
    class Exploding(TorchA2C):  # type: ignore[misc]
        def update(self, batch: Any) -> Any:
            outcome = super().update(batch)
            with torch.no_grad():
                self.policy[-1].bias.fill_(torch.nan)
            return outcome

    with pytest.raises(Diverged, match=r"policy.*bias is not finite after update"):
        footlight.train(Exploding, "CartPole-v1", steps=100, run_dir=tmp_path / "run", **BRIEF)


def test_trial_of_an_update_is_silent() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        mine = agent(TorchA2C, n_steps=2)  # has a scheduler
        observe(mine, 2)
    assert mine.num_updates == 1
    assert not heard
