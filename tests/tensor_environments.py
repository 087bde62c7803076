"""CartPole and Pendulum in torch: any number of instances on any device, without a library.

Written as simulators on a GPU are: tensors in and out, an episode that ends is reset within its
last step, and `info["final_obs"]` holds what was observed at that end. tests/environments compares
them with Gymnasium's.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor


class TensorSimulation:
    """Autoreset, time limit, seeds and saved state; subclasses have `start`, `observe`, `move`."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]

    def __init__(self, num_envs: int = 1, device: str = "cpu", time_limit: int = 500) -> None:
        self.num_envs, self.device, self.time_limit = num_envs, torch.device(device), time_limit
        self.generator = torch.Generator(device)
        self.elapsed = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.state = torch.zeros(num_envs, 0)

    def uniform(self, *high: float) -> Tensor:
        """Numbers in [-high, high) for each instance, [E, len(high)]."""
        shape, limit = (self.num_envs, len(high)), torch.tensor(high, device=self.device)
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return ((2 * drawn - 1) * limit).double()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Tensor, Any]:
        if seed is not None:
            self.generator.manual_seed(seed)
        self.state, self.elapsed = self.start(), torch.zeros_like(self.elapsed)
        return self.observe(), {}

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Any]:
        self.state, reward, terminated = self.move(*self.state.unbind(1), action)
        self.elapsed = self.elapsed + 1
        truncated = self.elapsed >= self.time_limit
        ended, final = terminated | truncated, self.observe()
        self.state = torch.where(ended[:, None], self.start(), self.state)
        self.elapsed = self.elapsed * ~ended
        info = {"final_obs": final} if ended.any() else {}
        return self.observe(), reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Tensor]:
        state = {"state": self.state, "elapsed": self.elapsed}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        self.state, self.elapsed = (saved[name].to(self.device) for name in ("state", "elapsed"))
        self.generator.set_state(saved["generator"].cpu())

    def start(self) -> Tensor:
        raise NotImplementedError

    def observe(self) -> Tensor:
        raise NotImplementedError

    def move(self, *state_and_action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """State, reward and `terminated` after an action, given the columns of the state."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


class CartPole(TensorSimulation):
    """CartPole-v1 (Barto, Sutton & Anderson 1983), with Gymnasium's constants."""

    single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    single_action_space = gymnasium.spaces.Discrete(2)

    def start(self) -> Tensor:
        return self.uniform(0.05, 0.05, 0.05, 0.05)

    def observe(self) -> Tensor:
        return self.state.float()

    def move(self, *state_and_action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, speed, angle, turn, action = state_and_action
        force, cos, sin = 20.0 * action - 10.0, angle.cos(), angle.sin()
        push = (force + 0.05 * turn.square() * sin) / 1.1
        turning = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos.square() / 1.1))
        pushing = push - 0.05 * turning * cos / 1.1
        x, speed = x + 0.02 * speed, speed + 0.02 * pushing
        angle, turn = angle + 0.02 * turn, turn + 0.02 * turning
        fallen = (x.abs() > 2.4) | (angle.abs() > 12 * 2 * np.pi / 360)
        return torch.stack([x, speed, angle, turn], 1), torch.ones_like(x).float(), fallen


class Pendulum(TensorSimulation):
    """Pendulum-v1, with Gymnasium's constants: a time limit of 200 steps, and no termination."""

    single_observation_space = gymnasium.spaces.Box(-8, 8, (3,), np.float32)
    single_action_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)

    def __init__(self, num_envs: int = 1, device: str = "cpu", time_limit: int = 200) -> None:
        super().__init__(num_envs, device, time_limit)

    def start(self) -> Tensor:
        return self.uniform(np.pi, 1.0)

    def observe(self) -> Tensor:
        angle, turn = self.state.unbind(1)
        return torch.stack([angle.cos(), angle.sin(), turn], 1).float()

    def move(self, *state_and_action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle, turn, action = state_and_action
        torque = action[:, 0].clamp(-2, 2)
        off = (angle + np.pi) % (2 * np.pi) - np.pi
        cost = off.square() + 0.1 * turn.square() + 0.001 * torque.square()
        turn = (turn + (15.0 * angle.sin() + 3.0 * torque) * 0.05).clamp(-8, 8)
        state = torch.stack([angle + turn * 0.05, turn], 1)
        return state, -cost.float(), torch.zeros_like(cost, dtype=torch.bool)
