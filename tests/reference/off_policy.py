"""DDPG, TD3 and SAC once more, from their papers: plain modules, autograd and torch's optimizers.

Each class holds its networks and optimizers and learns from one minibatch at a time. A minibatch is
a dictionary of float64 tensors, see `transitions`. Nothing is imported from the library.

Shape letters: B batch, A action dimensions.
"""

import copy
import math
from typing import Any

import torch
from recorder import OBSERVATION_SIZE, Parameters
from torch import Tensor, nn
from torch.distributions import Normal

NUM_ACTIONS = 2
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}


def multilayer_perceptron(config: Any, num_inputs: int, num_outputs: int) -> nn.Sequential:
    """Linear, (LayerNorm,) activation for each hidden size, then a linear layer; in float64."""
    layers: list[nn.Module] = []
    for size in config.hidden_sizes:
        layers.append(nn.Linear(num_inputs, size))
        if config.norm == "layer":
            layers.append(nn.LayerNorm(size))
        layers.append(ACTIVATIONS[config.activation]())
        num_inputs = size
    return nn.Sequential(*layers, nn.Linear(num_inputs, num_outputs)).double()


class OffPolicy:
    """An actor, critics, their slowly moving targets, and an Adam for each network."""

    num_actor_outputs = NUM_ACTIONS
    has_target_actor = True

    def __init__(self, config: Any, initial: Parameters) -> None:
        self.config = config
        self.actor = multilayer_perceptron(config, OBSERVATION_SIZE, self.num_actor_outputs)
        self.actor.load_state_dict(initial["actor"])
        self.critics = []
        for index in range(self.num_critics):
            critic = multilayer_perceptron(config, OBSERVATION_SIZE + NUM_ACTIONS, 1)
            critic.load_state_dict(initial[f"critic.{index}"])
            self.critics.append(critic)
        self.target_actor = copy.deepcopy(self.actor)
        self.target_critics = copy.deepcopy(self.critics)
        self.sensitivity = 0.0  # the largest of `sensitivity_of` so far
        actor_rate = config.actor_learning_rate or config.learning_rate
        critic_rate = config.critic_learning_rate or config.learning_rate
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_rate)
        self.critic_optimizers = []
        for critic in self.critics:
            self.critic_optimizers.append(torch.optim.Adam(critic.parameters(), lr=critic_rate))

    @property
    def num_critics(self) -> int:
        """How many critics there are."""
        return self.config.num_critics

    @property
    def policy_delay(self) -> int:
        """Updates of the critics for each one of the actor."""
        return self.config.policy_delay

    def parameters(self) -> Parameters:
        """All parameters by network and name, targets included."""
        named = {"actor": self.actor}
        named |= {f"critic.{index}": critic for index, critic in enumerate(self.critics)}
        named |= {f"target_critic.{index}": net for index, net in enumerate(self.target_critics)}
        if self.has_target_actor:
            named["target_actor"] = self.target_actor
        return {name: dict(module.state_dict()) for name, module in named.items()}

    def update(self, index: int, batch: dict[str, Tensor], noise: Tensor) -> None:
        """Learn from a minibatch; `index` is the number of the update."""
        with torch.no_grad():
            target = self.target(batch, noise)
        self.update_critics(batch, target)
        is_whole = index % self.policy_delay == 0
        if is_whole:
            self.update_actor(batch, noise)
        if is_whole or not self.config.delay_targets:
            self.move_targets()

    def target(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """What Q(s, a) is regressed on, [B]: r + discount * (value of the next observation)."""
        return batch["reward"] + batch["discount"] * self.next_value(batch, noise)

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Value of the next observation, [B]."""
        raise NotImplementedError

    def update_critics(self, batch: dict[str, Tensor], target: Tensor) -> None:
        """Each critic takes a step down its mean squared error."""
        for critic, optimizer in zip(self.critics, self.critic_optimizers, strict=True):
            value = q_value(critic, batch["observation"], batch["action"])
            self.minimize(nn.functional.mse_loss(value, target), optimizer)

    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        """The actor takes a step down its loss; critics are not changed."""
        self.minimize(self.actor_loss(batch, noise), self.actor_optimizer)

    def minimize(self, loss: Tensor, optimizer: torch.optim.Adam) -> None:
        """One step of the optimizer."""
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.sensitivity = max(self.sensitivity, sensitivity_of(optimizer))

    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Minus the first critic's mean value of what the actor would do: its gradient is that of
        Silver et al. 2014, eq. 9 (Lillicrap et al. 2015, eq. 6)."""
        action = self.actor(batch["observation"]).tanh()
        return -q_value(self.critics[0], batch["observation"], action).mean()

    def move_targets(self) -> None:
        """theta' <- tau theta + (1 - tau) theta' (Lillicrap et al. 2015, algorithm 1)."""
        pairs = list(zip(self.target_critics, self.critics, strict=True))
        if self.has_target_actor:
            pairs.append((self.target_actor, self.actor))
        tau = self.config.tau
        with torch.no_grad():
            for slow, fast in pairs:
                for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                    old.copy_(tau * new + (1 - tau) * old)


class DDPG(OffPolicy):
    """Lillicrap et al. 2015, algorithm 1."""

    num_critics = 1
    policy_delay = 1

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Q'(s', mu'(s')), eq. 5."""
        action = self.target_actor(batch["next_observation"]).tanh()
        return q_value(self.target_critics[0], batch["next_observation"], action)


class TD3(OffPolicy):
    """Fujimoto et al. 2018, algorithm 1."""

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """min_i Q'_i(s', mu'(s') + clip(epsilon, -c, c)), eq. 10 and 14."""
        bound = self.config.target_noise_clip
        epsilon = (noise * self.config.target_policy_noise).clip(-bound, bound)
        action = (self.target_actor(batch["next_observation"]).tanh() + epsilon).clip(-1, 1)
        return self.smallest(self.target_critics, batch["next_observation"], action)

    @staticmethod
    def smallest(critics: list[nn.Sequential], observation: Tensor, action: Tensor) -> Tensor:
        """Minimum of the critics' values, [B]."""
        values = [q_value(critic, observation, action) for critic in critics]
        return torch.stack(values).min(0).values


class SAC(TD3):
    """Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", algorithm 1."""

    num_actor_outputs = 2 * NUM_ACTIONS

    def __init__(self, config: Any, initial: Parameters) -> None:
        super().__init__(config, initial)
        self.has_target_actor = config.target_actor
        start = torch.tensor([math.log(config.initial_alpha)]).double()  # rounded to float32
        self.log_alpha = start.requires_grad_()
        rate = config.alpha_learning_rate or config.learning_rate
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=rate)

    def parameters(self) -> Parameters:
        """All parameters by network and name, targets and log alpha included."""
        return super().parameters() | {"log_alpha": {"value": self.log_alpha.detach()}}

    def sample(self, actor: nn.Module, observation: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """a = tanh(u), u = mean + sigma * noise, and log pi(a): [B, A] and [B].

        log pi(a) = log N(u; mean, sigma) - sum log(1 - tanh(u)^2), eq. 21, where the density of u
        is that of the noise divided by sigma, and 1 - tanh(u)^2 = 1 / cosh(u)^2.
        """
        mean, raw = actor(observation).split(NUM_ACTIONS, dim=1)
        log_std = self.log_std(raw)
        u = mean + log_std.exp() * noise
        log_density = Normal(0.0, 1.0).log_prob(noise) - log_std + 2 * u.cosh().log()
        return u.tanh(), log_density.sum(1)

    def log_std(self, raw: Tensor) -> Tensor:
        """log sigma, of an output of the actor."""
        if self.config.log_std == "clamped":
            return raw.clamp(-20, 2)
        return -5 + 7 * (raw.tanh() + 1) / 2  # between -5 and 2, by tanh

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """min_i Q'_i(s', a') - alpha log pi(a' | s'), eq. 3, with a' drawn from the policy."""
        actor = self.target_actor if self.config.target_actor else self.actor
        action, log_prob = self.sample(actor, batch["next_observation"], noise[0])
        value = self.smallest(self.target_critics, batch["next_observation"], action)
        return value - self.log_alpha.exp() * log_prob

    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        """A step of the actor, then one of the temperature, on the entropy before the former."""
        with torch.no_grad():
            _, log_prob = self.sample(self.actor, batch["observation"], noise[1])
        super().update_actor(batch, noise)
        if self.config.learn_alpha:
            self.minimize(self.temperature_loss(log_prob), self.alpha_optimizer)

    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """E[alpha log pi(a | s) - min_i Q_i(s, a)], eq. 7 and 9."""
        action, log_prob = self.sample(self.actor, batch["observation"], noise[1])
        value = self.smallest(self.critics, batch["observation"], action)
        return (self.log_alpha.exp().detach() * log_prob - value).mean()

    def temperature_loss(self, log_prob: Tensor) -> Tensor:
        """E[-alpha (log pi + H)], eq. 18, with log alpha in the place of alpha."""
        wanted = self.config.target_entropy
        wanted = -NUM_ACTIONS if wanted is None else wanted
        return -(self.log_alpha * (log_prob + wanted)).mean()


def q_value(critic: nn.Sequential, observation: Tensor, action: Tensor) -> Tensor:
    """Q(s, a), [B]: observation and action enter the first layer side by side."""
    return critic(torch.cat([observation, action], 1))[:, 0]


def sensitivity_of(optimizer: torch.optim.Adam) -> float:
    """How far Adam's last step moves a parameter per relative error of the largest gradient.

    A step is lr m / (sqrt(v) + epsilon), and gradients come with an error in proportion to the
    largest one, so this is lr max|g| / (smallest sqrt(v) + epsilon). Where v is 0 the gradient is
    that of a unit without effect, and exactly 0.
    """
    group = optimizer.param_groups[0]
    largest, smallest = 0.0, math.inf
    for parameter in group["params"]:
        state = optimizer.state[parameter]
        root = (state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"])).sqrt()
        largest = max(largest, float(parameter.grad.abs().max()))
        smallest = min(smallest, float(root[root > 0].min())) if root.any() else smallest
    return group["lr"] * largest / (smallest + group["eps"])


REFERENCES = {"ddpg": DDPG, "td3": TD3, "sac": SAC}
