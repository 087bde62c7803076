"""Reference implementations of the on-policy algorithms, to compare the library's updates with.

Each follows a whole run beside the library, with parameters and an optimizer of its own: it takes
what the environments gave, the rows of a minibatch and the noise, and nothing that the library
computed. Equations are named where they are written.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from on_policy_history import History, Scales, lambda_returns, stretches, transition_at
from on_policy_parts import (
    ActorCritic,
    Batch,
    Policy,
    Spaces,
    as_tensor,
    by_part,
    optimizer_for,
    stack,
)
from recorder import Parameters, Recording, Update
from torch import Tensor


class Reference:
    """One network for policy and values, its optimizer, and the run so far."""

    num_values = 1
    scales: Scales

    def __init__(self, recording: Recording, spaces: Spaces, total_steps: int) -> None:
        self.config: Any = recording.config
        self.total_steps = total_steps
        self.network = ActorCritic(self.config, spaces, self.num_values).double()
        self.load(self.network, recording.initial)
        self.policy = Policy(self.config, spaces)
        self.optimizer = self.new_optimizer()
        self.progress = 0.0
        self.seen = self.learned_at = 0

    def new_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer, whose groups remember the learning rates that a schedule starts from."""
        optimizer = optimizer_for(self.config, self.network)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def load(self, network: ActorCritic, parameters: Parameters) -> None:
        """Copy recorded parameters, all of which have to be there."""
        parts = {"actor", "critic", "torso", "log_std"} & parameters.keys()
        named = {f"{part}.{name}": t for part in parts for name, t in parameters[part].items()}
        if network.log_std is not None:
            named["log_std"] = named.pop("log_std.value")
        network.load_state_dict(named)

    def parameters(self) -> Parameters:
        """All that is to be compared, by the recorder's names."""
        return by_part(dict(self.network.named_parameters()))

    def update(self, history: History, update: Update) -> None:
        """Learn from the history what the library learned in this update."""
        if is_new := len(history) > self.seen:
            self.progress = min(1.0, self.learned_at / self.total_steps)
            self.learned_at = sum(step is not None for steps in history for step in steps)
            self.seen = len(history)
            self.scales = Scales(self.config, history)
        self.learn(history, update, is_new)

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        """Make the update; `is_new` if steps were observed since the previous one."""
        raise NotImplementedError

    def rollout(self, history: History, n_steps: int) -> History:
        """The steps since the previous rollout."""
        return history[-((len(history) - 1) % n_steps + 1) :]

    def evaluate(self, rollout: History, noise: Tensor, decay: float) -> dict[tuple[int, int], Any]:
        """Return a `Batch` of one row for each transition of a rollout, by time and environment."""
        num_envs = len(rollout[0])
        targets = {}
        for stretch in stretches(rollout):
            steps = [transition_at(rollout, place) for place in stretch]
            ends = [0.0 if step.terminated else self.value(step.next_observation) for step in steps]
            rewards = [self.scales.reward(step.reward) for step in steps]
            returns = lambda_returns(rewards, ends, self.config.gamma, decay)
            targets |= dict(zip(stretch, returns, strict=True))
        rows = {}
        for time, env in targets:
            step = transition_at(rollout, (time, env))
            rows[time, env] = Batch(
                self.scales.observation([step.observation]),
                as_tensor([step.action]),
                noise[[time * num_envs + env]],
                torch.tensor([self.value(step.observation)], dtype=torch.float64),
                torch.tensor([targets[time, env]], dtype=torch.float64),
            )
        return rows

    def value(self, observation: np.ndarray) -> float:
        """V(s) by the present parameters."""
        with torch.no_grad():
            return self.network(self.scales.observation([observation]))[1].item()

    def entropy_coef(self) -> float:
        """The weight of the entropy, on a line from its first to its last value."""
        first, last = self.config.entropy_coef, self.config.final_entropy_coef
        return first if last is None else (1 - self.progress) * first + self.progress * last

    def minimize(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """One step of the optimizer on the clipped gradient, at this point of the schedule."""
        optimizer.zero_grad()
        loss.backward()
        if self.config.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        for group in optimizer.param_groups:
            left = 1 - self.progress if self.config.learning_rate_schedule == "linear" else 1
            group["lr"] = group["initial_lr"] * left
        optimizer.step()


class A2C(Reference):
    """Mnih et al. 2016, algorithm S3, synchronous; advantages of Schulman et al. 2016, eq. 16."""

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        rollout = self.rollout(history, self.config.n_steps)
        rows = self.evaluate(rollout, update.noise, self.config.gae_lambda)
        batch = stack(list(rows.values()))
        output, value = self.network(batch.observation)
        advantage = batch.target - batch.value
        if self.config.normalize_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy_loss = -(advantage * self.policy.log_prob(output, batch.action)).mean()
        value_loss = torch.nn.functional.mse_loss(value, batch.target)
        entropy = self.policy.entropy(output, batch.noise).mean()
        loss = policy_loss + self.config.value_coef * value_loss - self.entropy_coef() * entropy
        self.minimize(loss, self.optimizer)


class OneStepActorCritic(Reference):
    """Sutton & Barto 2018, section 13.5, with the mean over environments and an entropy bonus."""

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        batch = stack(list(self.evaluate(history[-1:], update.noise, 0.0).values()))
        output, value = self.network(batch.observation)
        td_error = batch.target - value
        policy_gain = td_error.detach() * self.policy.log_prob(output, batch.action)
        entropy = self.policy.entropy(output, batch.noise)
        critic_loss = self.config.value_coef * td_error**2
        loss = critic_loss - policy_gain - self.entropy_coef() * entropy
        self.minimize(loss.mean(), self.optimizer)


class PPO(Reference):
    """Schulman et al. 2017, eqs. 7 and 9, in minibatches."""

    rows: dict[tuple[int, int], Batch]
    old_log_prob: dict[tuple[int, int], Tensor]
    has_stopped = False

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        config, num_envs = self.config, len(history[0])
        if is_new:
            rollout = self.rollout(history, config.n_steps)
            no_noise = torch.zeros(config.n_steps * num_envs, 0)
            self.rows = self.evaluate(rollout, no_noise, config.gae_lambda)
            self.old_log_prob = {place: self.log_prob(row) for place, row in self.rows.items()}
            self.has_stopped = False
        places = [divmod(int(row), num_envs) for row in update.batch["rows"]]
        real = [index for index, place in enumerate(places) if place in self.rows]
        batch = stack([self.rows[places[index]] for index in real])
        old_log_prob = torch.cat([self.old_log_prob[places[index]] for index in real])
        advantage = batch.target - batch.value
        if config.normalize_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

        output, value = self.network(batch.observation)
        entropy_noise = update.noise
        if config.rpo_alpha:  # Rahman & Xue 2022, algorithm 1; heads without noise of their own
            entropy_noise = torch.zeros(len(update.noise), 0)
            mean, log_std = output.chunk(2, dim=1)
            shift = -config.rpo_alpha + 2 * config.rpo_alpha * update.noise[real]
            output = torch.cat([mean + shift, log_std], dim=1)
        ratio = (self.policy.log_prob(output, batch.action) - old_log_prob).exp()
        clip = config.clip_range
        if config.final_clip_range is not None:
            clip = (1 - self.progress) * clip + self.progress * config.final_clip_range
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
        if config.objective == "spo":  # Xie et al. 2024
            gain = ratio * advantage - advantage.abs() / (2 * clip) * (ratio - 1) ** 2
        policy_loss = -gain.mean()
        if config.value_clip_range is not None:
            low, high = batch.value - config.value_clip_range, batch.value + config.value_clip_range
            value = torch.maximum(torch.minimum(value, high), low)
        value_loss = torch.nn.functional.mse_loss(value, batch.target)
        entropy = self.policy.entropy(output, entropy_noise[real]).mean()
        loss = policy_loss + config.value_coef * value_loss - self.entropy_coef() * entropy

        divergence = (ratio - 1 - ratio.log()).mean()  # of the old policy from the new one
        if config.target_kl is not None and divergence > 1.5 * config.target_kl:
            self.has_stopped = True
        if not self.has_stopped:
            self.minimize(loss, self.optimizer)

    def log_prob(self, row: Batch) -> Tensor:
        """log pi(a|s) by the present parameters."""
        with torch.no_grad():
            return self.policy.log_prob(self.network(row.observation)[0], row.action)


class Reinforce(Reference):
    """Williams 1992; Sutton & Barto 2018, sections 13.3 and 13.4, without the factor gamma^t."""

    first_step = 0  # episodes that began earlier were played by an older policy

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.noise: list[Tensor] = []

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        self.noise.append(update.noise)
        if update.name == "chunk":  # the gradient is summed until the last one
            return
        noise, self.noise = torch.cat(self.noise), []
        rows: list[Batch] = []
        for episode in self.episodes(history):
            for place in episode:
                step, target = history[place[0]][place[1]], self.target(history, episode, place)
                assert step is not None
                rows.append(
                    Batch(
                        self.scales.observation([step.observation]),
                        as_tensor([step.action]),
                        noise[[len(rows)]],
                        torch.zeros(1),
                        torch.tensor([target], dtype=torch.float64),
                    )
                )
        batch = stack(rows)
        output, value = self.network(batch.observation)
        gain = batch.target - value.detach() if self.config.baseline else batch.target
        loss = -gain * self.policy.log_prob(output, batch.action)
        loss = loss - self.entropy_coef() * self.policy.entropy(output, batch.noise)
        if self.config.baseline:
            loss = loss + self.config.value_coef * (batch.target - value) ** 2
        self.minimize(loss.mean(), self.optimizer)
        self.first_step = len(history)

    def episodes(self, history: History) -> list[list[tuple[int, int]]]:
        """The first complete episodes of each environment since the previous update."""
        share = -(-self.config.episodes_per_update // len(history[0]))
        taken: list[list[tuple[int, int]]] = []
        for env in range(len(history[0])):
            own = [episode for episode in stretches(history) if episode[0][1] == env]
            last = [transition_at(history, episode[-1]) for episode in own]
            complete = [
                episode
                for episode, step in zip(own, last, strict=True)
                if episode[0][0] >= self.first_step and (step.terminated or step.truncated)
            ]
            taken += complete[:share]
        return taken

    def target(
        self, history: History, episode: Sequence[tuple[int, int]], start: tuple[int, int]
    ) -> float:  # fmt: skip
        """G_t = sum_k gamma^k R_{t+k+1}, and what a time limit cut off, by the baseline's value."""
        total, discount = 0.0, 1.0
        for place in episode[list(episode).index(start) :]:
            step = transition_at(history, place)
            total += discount * self.reward(history[: place[0] + 1], step.reward)
            discount *= self.config.gamma
        if self.config.baseline and not step.terminated:
            total += discount * self.value(step.next_observation)
        return total

    def reward(self, history: History, reward: float) -> float:
        """Clipped in the standard deviations of its own time, then divided by today's."""
        reward = self.scales.clipped(reward, self.config.clip_reward)
        if self.config.normalize_rewards and self.config.clip_normalized_reward is not None:
            then = Scales(self.config, history).reward_std
            reward = self.scales.clipped(reward, self.config.clip_normalized_reward * then)
        return reward / self.scales.reward_std
