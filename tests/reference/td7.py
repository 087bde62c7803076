"""TD7 once more, from its paper, in the manner of `off_policy`: plain modules, autograd, and loops
over environments and episodes for what is due when.

Shape letters: B batch, Z numbers of an embedding.
"""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from off_policy import ACTIVATIONS, NUM_ACTIONS, OffPolicy
from recorder import OBSERVATION_SIZE, Parameters, Step
from torch import Tensor, nn


def perceptron(config: Any, num_inputs: int, num_outputs: int, activation: str) -> nn.Sequential:
    """Linear and activation for each hidden size, then a linear layer."""
    sizes = [num_inputs, *config.hidden_sizes]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_outputs)).double()


def avg_l1_norm(x: Tensor) -> Tensor:
    """x / max(sum |x_i| / F, 1e-8), row by row."""
    return torch.stack([row / (row.abs().sum() / len(row)).clip(1e-8) for row in x])


class Encoder(nn.Module):
    """One generation of f and g."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        size = config.embedding_size
        self.f = perceptron(config, OBSERVATION_SIZE, size, config.activation)
        self.g = perceptron(config, size + NUM_ACTIONS, size, config.activation)

    def z_s(self, observation: Tensor) -> Tensor:
        """AvgL1Norm(f(s))."""
        return avg_l1_norm(self.f(observation))

    def z_sa(self, z_s: Tensor, action: Tensor) -> Tensor:
        """g(z_s, a)."""
        return self.g(torch.cat([z_s, action], 1))


class Actor(nn.Module):
    """pi(s, z_s)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.first = nn.Linear(OBSERVATION_SIZE, config.embedding_size).double()
        width = 2 * config.embedding_size
        self.body = perceptron(config, width, NUM_ACTIONS, config.actor_activation)

    def forward(self, observation: Tensor, z_s: Tensor) -> Tensor:
        seen = avg_l1_norm(self.first(observation))
        return self.body(torch.cat([seen, z_s], 1)).tanh()


class Critic(nn.Module):
    """Q(s, a, z_sa, z_s)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        size = config.embedding_size
        self.first = nn.Linear(OBSERVATION_SIZE + NUM_ACTIONS, size).double()
        self.body = perceptron(config, 3 * size, 1, config.activation)

    def forward(self, observation: Tensor, action: Tensor, z_sa: Tensor, z_s: Tensor) -> Tensor:
        seen = avg_l1_norm(self.first(torch.cat([observation, action], 1)))
        return self.body(torch.cat([seen, z_sa, z_s], 1))[:, 0]


class TD7(OffPolicy):
    """Fujimoto et al. 2023, algorithm 1."""

    def __init__(self, config: Any, initial: Parameters) -> None:
        self.config, self.sensitivity = config, 0.0
        self.encoder = Encoder(config)
        self.encoder.f.load_state_dict(initial["state_encoder"])
        self.encoder.g.load_state_dict(initial["action_encoder"])
        self.actor = loaded(Actor(config), initial, "actor", "")
        self.critics = [
            loaded(Critic(config), initial, "critic", f".{index}")
            for index in range(config.num_critics)
        ]
        self.fixed_encoder, self.target_encoder = (copy.deepcopy(self.encoder) for _ in range(2))
        self.target_actor, self.target_critics = copy.deepcopy((self.actor, self.critics))
        self.smallest_target, self.largest_target = 1e8, -1e8
        self.low, self.high = 0.0, 0.0
        self.priorities = torch.zeros(0)
        actor_rate = config.actor_learning_rate or config.learning_rate
        critic_rate = config.critic_learning_rate or config.learning_rate
        self.encoder_optimizer = torch.optim.Adam(
            self.encoder.parameters(), lr=config.learning_rate
        )
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_rate)
        of_critics = [parameter for critic in self.critics for parameter in critic.parameters()]
        self.critic_optimizer = torch.optim.Adam(of_critics, lr=critic_rate)

    def parameters(self) -> Parameters:
        """All parameters by network and name, and the extremes of targets."""
        found: Parameters = {
            "state_encoder": self.encoder.f.state_dict(),
            "action_encoder": self.encoder.g.state_dict(),
            "fixed_action_encoder": self.fixed_encoder.g.state_dict(),
            "target_action_encoder": self.target_encoder.g.state_dict(),
        }
        actors = {
            "actor": (self.actor, self.fixed_encoder),
            "target_actor": (self.target_actor, self.target_encoder),
        }
        for name, (actor, encoder) in actors.items():
            f = encoder.f.state_dict()
            found[f"{name}.encoder"] = {f"body.{part}": value for part, value in f.items()}
            found[f"{name}.first"] = actor.first.state_dict()
            found[name] = actor.body.state_dict()
        for name, critics in {"critic": self.critics, "target_critic": self.target_critics}.items():
            for index, critic in enumerate(critics):
                found[f"{name}.first.{index}"] = critic.first.state_dict()
                found[f"{name}.{index}"] = critic.body.state_dict()
        found["extremes"] = {"value": torch.tensor([self.smallest_target, self.largest_target])}
        found["value_range"] = {"value": torch.tensor([self.low, self.high])}
        return found

    def learn(self, name: str, batch: dict[str, Tensor], noise: Tensor) -> None:
        """What the library does under this name."""
        if name == "copy":
            self.copy()
            return
        self.update_encoder(batch)
        with torch.no_grad():
            target = self.target(batch, noise)
        self.smallest_target = min(self.smallest_target, float(target.min()))
        self.largest_target = max(self.largest_target, float(target.max()))
        self.update_critics(batch, target)
        if name == "critic_and_actor":
            self.update_actor(batch, noise)

    def update_encoder(self, batch: dict[str, Tensor]) -> None:
        """Both encoders, on the mean over rows and numbers of (z_sa - z_s')^2."""
        following = self.encoder.z_s(batch["next_observation"]).detach()
        predicted = self.encoder.z_sa(self.encoder.z_s(batch["observation"]), batch["action"])
        self.minimize(nn.functional.mse_loss(predicted, following), self.encoder_optimizer)

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """clip(min_i Q'_i(s', a'), low, high), with a' = pi'(s') + clip(epsilon, -c, c)."""
        following, bound = batch["next_observation"], self.config.target_noise_clip
        z_s = self.target_encoder.z_s(following)
        epsilon = (noise * self.config.target_policy_noise).clip(-bound, bound)
        action = (self.target_actor(following, z_s) + epsilon).clip(-1, 1)
        z_sa = self.target_encoder.z_sa(z_s, action)
        values = [critic(following, action, z_sa, z_s) for critic in self.target_critics]
        return torch.stack(values).min(0).values.clip(self.low, self.high)

    def update_critics(self, batch: dict[str, Tensor], target: Tensor) -> None:
        """Huber's loss of all critics, and the priorities that follow from their errors."""
        observation, action = batch["observation"], batch["action"]
        z_s = self.fixed_encoder.z_s(observation)
        z_sa = self.fixed_encoder.z_sa(z_s, action)
        loss, errors = torch.zeros((), dtype=torch.float64), []
        for critic in self.critics:
            value = critic(observation, action, z_sa.detach(), z_s.detach())
            loss = loss + self.critic_loss(value, target)
            errors.append((value - target).detach().abs())
        largest = torch.stack(errors).max(0).values
        exponent = self.config.priority_exponent or 0.4
        self.priorities = torch.tensor([max(float(error), 1.0) ** exponent for error in largest])
        self.minimize(loss, self.critic_optimizer)

    def critic_loss(self, value: Tensor, target: Tensor) -> Tensor:
        """delta^2 / 2 between -1 and 1, otherwise |delta| - 1/2."""
        if self.config.prioritization == "lap":
            return nn.functional.huber_loss(value, target)
        return nn.functional.mse_loss(value, target)

    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Minus the mean over rows and critics of Q(s, pi(s))."""
        observation = batch["observation"]
        z_s = self.fixed_encoder.z_s(observation).detach()
        action = self.actor(observation, z_s)
        z_sa = self.fixed_encoder.z_sa(z_s, action)
        return -torch.stack([c(observation, action, z_sa, z_s) for c in self.critics]).mean()

    def copy(self) -> None:
        """Targets become the present, the fixed encoder the current one."""
        self.target_actor = copy.deepcopy(self.actor)
        self.target_critics = copy.deepcopy(self.critics)
        self.target_encoder = copy.deepcopy(self.fixed_encoder)
        self.fixed_encoder = copy.deepcopy(self.encoder)
        self.low, self.high = self.smallest_target, self.largest_target


def loaded(module: Any, initial: Parameters, name: str, suffix: str) -> Any:
    """The actor or a critic with its initial parameters."""
    module.first.load_state_dict(initial[f"{name}.first{suffix}"])
    module.body.load_state_dict(initial[f"{name}{suffix}"])
    return module


def schedule(config: Any, steps: Sequence[Step]) -> Iterator[tuple[int, str]]:
    """What is due after which step, from the raw steps: assessments, and the updates after them."""
    taken, first, updates, best = 0, None, 0, -math.inf
    finished: list[float] = []  # returns of episodes of the current policy
    begun = [0] * len(steps[0].reward)  # when the current episode began, in steps
    changed = -1  # the last step after which the policy changed
    totals = [0.0] * len(begun)
    for time, step in enumerate(steps, 1):
        has_ended = False
        for env in range(len(begun)):
            if not step.valid[env]:
                begun[env], totals[env] = time, 0.0
                continue
            taken += 1
            totals[env] += float(step.reward[env])
            if step.terminated[env] or step.truncated[env]:
                has_ended = True
                if begun[env] >= changed:
                    finished.append(totals[env])
                begun[env], totals[env] = time, 0.0
        if not config.use_checkpoints:
            released = taken - config.learning_starts
        elif first is None:
            if has_ended and taken >= config.learning_starts:
                first, changed, finished = taken, time, []
            continue
        else:
            is_late = updates >= config.late_phase_starts
            wanted = config.late_episodes if is_late else config.early_episodes
            is_worse = any(total < best for total in finished)
            if not is_worse and len(finished) < wanted:
                continue
            if not is_worse:
                best = min(finished)
                yield time, "checkpoint"
            changed, finished, released = time, [], taken - first
        while updates + 1 <= config.updates_per_step * released:
            updates += 1
            yield time, "critic" if updates % config.policy_delay else "critic_and_actor"
            if updates % config.copy_interval == 0:
                yield time, "copy"
            if updates == config.late_phase_starts:
                best *= config.late_phase_factor
