"""What the second writings of SAC's variants share, in the manner of `off_policy`: plain modules,
autograd, torch's optimizers and loops. Each variant is in the file that tests it.

Shape letters: B batch, M numbers that a critic predicts.
"""

import copy
import math
from typing import Any

import torch
from off_policy import NUM_ACTIONS, SAC
from plain_layers import perceptron
from recorder import OBSERVATION_SIZE, Parameters, Recording, record
from test_off_policy_reference import ends, largest, minibatches
from torch import Tensor, nn
from transitions import normalized
from variants import small

from tolerance import assert_close

Batch = dict[str, Tensor]

COMMON = {"num_steps": 14, "gamma": 15 / 16, "optimizer_epsilon": 2**-10}
"""The epsilon keeps Adam from magnifying the rounding errors of gradients that are almost zero."""
COUNTS = ("num_batches", "counter", "seed")  # large, and without rounding
TERMS, ONE_UPDATE = 101, 40  # the sum over bins; five layers and normalizations, there and back


def recorded(name: str, **fields: Any) -> Recording:
    """Updates of a small agent; all that makes up the variant is its own."""
    recording = record(name, **{**small(name), **COMMON, **fields})
    assert len(recording.updates) >= 6
    assert ends(recording) >= {"terminated", "truncated"}
    return recording


def compare(recording: Recording, reference_type: "type[Variant]") -> None:
    """Run a second writing beside a recording; require equal numbers after each update."""
    config, updates = recording.config, recording.updates
    reference = reference_type(config, recording.initial)
    require_equal(reference, recording.initial, 0)
    for index, (update, batch) in enumerate(zip(updates, minibatches(recording), strict=True)):
        batch = normalized(config, batch, recording.steps[: update.num_steps])
        reference.update(index, batch, update.draws, progress(recording, index))
        require_equal(reference, update.after, index)


def progress(recording: Recording, index: int) -> float:
    """The share of the run after which the last update before this step took place."""
    now = recording.updates[index].num_steps
    earlier = [update.num_steps for update in recording.updates if update.num_steps < now]
    return max(earlier, default=0) / len(recording.steps)


def require_equal(reference: "Variant", found: Parameters, index: int) -> None:
    """Equal to rounding, whose errors Adam's divisions amplify."""
    wanted = reference.parameters()
    numbers = [
        {name: value for name, value in named.items() if not name.endswith(COUNTS)}
        for named in wanted.values()
    ]
    scale = max([1.0, reference.sensitivity, *map(largest, filter(None, numbers))])
    depth = ONE_UPDATE * (index + 1)
    assert_close(found, wanted, terms=TERMS, depth=depth, scale=scale, message=f"update {index}")


def require_defaults(config: Any, paper: dict[str, Any]) -> None:
    """The config has the values of the paper."""
    assert {name: getattr(config, name) for name in paper} == paper


class Variant(SAC):
    """SAC (Haarnoja et al. 2018, algorithm 1), in the parts that its variants change."""

    has_target_actor = False
    has_target_critics = True
    num_outputs = 1
    """M."""
    targets_wait_for_actor = True
    """Whether the targets move with the actor only."""
    target_entropy = -1.0 * NUM_ACTIONS

    def __init__(self, config: Any, initial: Parameters) -> None:
        self.config, self.sensitivity = config, 0.0
        self.actor = loaded(self.make_actor(), initial, "actor", "actor_statistics")
        self.critics = [
            loaded(self.make_critic(), initial, f"critic.{i}", f"critic_statistics.{i}")
            for i in range(config.num_critics)
        ]
        self.target_critics = copy.deepcopy(self.critics) if self.has_target_critics else []
        self.log_alpha = torch.tensor([math.log(config.initial_alpha)]).double().requires_grad_()
        self.actor_optimizer = self.make_optimizer(list(self.actor.parameters()))
        self.critic_optimizer = self.make_optimizer(
            [parameter for critic in self.critics for parameter in critic.parameters()]
        )
        self.alpha_optimizer = self.make_adam([self.log_alpha])

    def make_actor(self) -> nn.Sequential:
        """Linear layers with ReLU between them."""
        return perceptron(OBSERVATION_SIZE, self.config.actor_hidden_sizes, 2 * NUM_ACTIONS)

    def make_critic(self) -> nn.Sequential:
        """The same, for one critic."""
        num_inputs = OBSERVATION_SIZE + NUM_ACTIONS
        return perceptron(num_inputs, self.config.hidden_sizes, self.num_outputs)

    def make_adam(self, parameters: list[Tensor]) -> torch.optim.Adam:
        """Kingma & Ba 2015, algorithm 1."""
        config = self.config
        betas = config.adam_beta1, config.adam_beta2
        return torch.optim.Adam(
            parameters, lr=config.learning_rate, betas=betas, eps=config.optimizer_epsilon
        )

    make_optimizer = make_adam
    """Of the networks."""

    def parameters(self) -> Parameters:
        """All parameters and running statistics by network and name."""
        found = {"log_alpha": {"value": self.log_alpha.detach()}}
        numbered = [("", 0, self.actor)]
        numbered += [("critic", i, critic) for i, critic in enumerate(self.critics)]
        numbered += [("target_critic", i, target) for i, target in enumerate(self.target_critics)]
        for name, index, network in numbered:
            group, end = (name, f".{index}") if name else ("actor", "")
            found[group + end] = {k: v.detach() for k, v in network.named_parameters()}
            statistics = dict(network.named_buffers())
            if statistics and name != "target_critic":  # see `Joint.predictions`
                found[f"{group}_statistics{end}"] = statistics
        return found

    def update(self, index: int, batch: Batch, draws: Batch, progress: float) -> None:
        """Learn from a minibatch; `index` is the number of the update."""
        for optimizer in (self.actor_optimizer, self.critic_optimizer, self.alpha_optimizer):
            optimizer.param_groups[0]["lr"] = self.config.learning_rate * self.share(progress)
        with torch.no_grad():
            next_action, log_prob = self.sample(
                self.actor.eval(), batch["next_observation"], draws["next_action"]
            )
            bonus = -self.log_alpha.exp() * log_prob
        outputs, next_outputs = self.predictions(index, batch, next_action)
        target = self.target([each.detach() for each in next_outputs], batch, bonus, draws)
        self.minimize(sum(self.loss(output, target) for output in outputs), self.critic_optimizer)
        self.after_step(self.critics)
        updates_actor = index % self.config.policy_delay == 0
        if updates_actor:
            self.update_actor(batch, draws["action"])
        if self.has_target_critics and (updates_actor or not self.targets_wait_for_actor):
            self.move_targets()

    def share(self, progress: float) -> float:
        """What is left of the learning rate."""
        return 1.0

    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What the critics predict at (s, a), and the target critics at (s', a'): [B, M] each."""
        now, following = pairs(batch, next_action)
        return [critic(now) for critic in self.critics], [
            target(following) for target in self.target_critics
        ]

    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        """y = r + gamma (1 - d) (min_i Q'_i(s', a') - alpha log pi(a' | s')), [B, 1]."""
        smallest = torch.stack(next_outputs).min(0).values[:, 0]
        return (batch["reward"] + batch["discount"] * (smallest + bonus))[:, None]

    def loss(self, output: Tensor, target: Any) -> Tensor:
        """The mean loss of one critic: (Q(s, a) - y)^2."""
        return ((output - target) ** 2).mean()

    def update_actor(self, batch: Batch, noise: Tensor) -> None:
        """A step of the actor, eq. 7, and one of the temperature, eq. 18."""
        action, log_prob = self.sample(self.actor.train(), batch["observation"], noise)
        values = self.values(torch.cat([batch["observation"], action], 1))
        loss = (self.log_alpha.exp().detach() * log_prob - self.followed(values)).mean()
        self.minimize(loss, self.actor_optimizer)
        self.after_step([self.actor])
        gap = (log_prob.detach() + self.target_entropy).mean()
        self.minimize(-(self.log_alpha * gap).sum(), self.alpha_optimizer)

    def values(self, pair: Tensor) -> list[Tensor]:
        """Q_i(s, a) as the actor sees them, [B] each: with running statistics."""
        return [self.value(critic.eval()(pair)) for critic in self.critics]

    def value(self, output: Tensor) -> Tensor:
        """The expected return, of what a critic predicts."""
        return output[:, 0]

    def followed(self, values: list[Tensor]) -> Tensor:
        """What the actor makes large."""
        return torch.stack(values).min(0).values

    def after_step(self, networks: list[nn.Sequential]) -> None:
        """What is done to networks after their step."""


class Joint(Variant):
    """Critics that see (s, a) and (s', a') in one batch, in training mode (Bhatt et al. 2024)."""

    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The first half of what the critics predict, and the second half of the targets."""
        both, count = torch.cat(pairs(batch, next_action)), len(batch["reward"])
        for critic, target in zip(self.critics, self.target_critics, strict=False):
            # Target networks have no running statistics of their own
            target.load_state_dict(dict(target.state_dict()) | dict(critic.named_buffers()))
        outputs = [critic.train()(both) for critic in self.critics]
        of_targets = [target.train()(both) for target in self.target_critics] or outputs
        return [each[:count] for each in outputs], [each[count:] for each in of_targets]


class Categorical(Joint):
    """Critics with the probabilities of 101 returns between -5 and 5, and the cross-entropy."""

    num_outputs = 101
    centers = tuple(-5 + index / 10 for index in range(101))

    def value(self, output: Tensor) -> Tensor:
        """The mean of the distribution."""
        return (output.softmax(1) * torch.tensor(self.centers, dtype=torch.float64)).sum(1)

    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        """The distribution of the critic with the smaller mean, moved and projected, [B, M]."""
        rows = []
        for row in range(len(bonus)):
            means = [self.value(output)[row].item() for output in next_outputs]
            chosen = next_outputs[means.index(min(means))][row].softmax(0).tolist()
            reward, discount = batch["reward"][row].item(), batch["discount"][row].item()
            moved = [reward + discount * (z + bonus[row].item()) for z in self.centers]
            rows.append(projected(moved, chosen, self.centers))
        return torch.tensor(rows, dtype=torch.float64)

    def loss(self, output: Tensor, target: Any) -> Tensor:
        """-sum y log p, the mean over the batch."""
        return -(target * output.log_softmax(1)).sum(1).mean()


def projected(
    values: list[float], probabilities: list[float], centers: tuple[float, ...]
) -> list[float]:
    """Each value's probability, shared between the two centers beside it (Bellemare et al. 2017,
    algorithm 1)."""
    found = [0.0] * len(centers)
    for value, probability in zip(values, probabilities, strict=True):
        value = min(max(value, centers[0]), centers[-1])
        upper = next(i for i, center in enumerate(centers) if i > 0 and value <= center)
        low, high = centers[upper - 1], centers[upper]
        found[upper - 1] += probability * (high - value) / (high - low)
        found[upper] += probability * (value - low) / (high - low)
    return found


def loaded(network: nn.Sequential, initial: Parameters, *groups: str) -> nn.Sequential:
    """The network in float64, with these parameters and statistics."""
    values = [initial[group] for group in groups if group in initial]
    network.double().load_state_dict({k: v for named in values for k, v in named.items()})
    return network


def pairs(batch: Batch, next_action: Tensor) -> tuple[Tensor, Tensor]:
    """(s, a) and (s', a')."""
    now = torch.cat([batch["observation"], batch["action"]], 1)
    return now, torch.cat([batch["next_observation"], next_action], 1)
