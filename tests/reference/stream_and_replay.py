"""Reference implementations of stream-ac and replay-actor-critic. See `on_policy`."""

import copy
from typing import Any

import torch
from on_policy import Reference
from on_policy_history import History, Transition
from on_policy_parts import Spaces, as_tensor, by_part
from recorder import Parameters, Recording, Update
from torch import Tensor


class StreamAC(Reference):
    """Elsayed, Vasan & Mahmood 2024, algorithms 2 (AC(lambda)) and 3 (ObGD)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        named = dict(self.network.named_parameters())
        self.traces = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
        self.episode_has_ended = False

    def new_optimizer(self) -> Any:
        """None: parameters move along their traces."""
        return None

    def parameters(self) -> Parameters:
        """Parameters and traces; those of an episode that ends still count in its last update."""
        return super().parameters() | by_part(self.traces, "trace.")

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        step, config = history[-1][0], self.config
        assert step is not None
        if self.episode_has_ended:
            for trace in self.traces.values():
                trace.zero_()
        self.episode_has_ended = step.terminated or step.truncated

        output, value = self.network(self.scales.observation([step.observation]))
        next_value = 0.0 if step.terminated else self.value(step.next_observation)
        error = self.scales.reward(step.reward) + config.gamma * next_value - value.item()
        sign = (error > 0) - (error < 0)
        log_prob = self.policy.log_prob(output, as_tensor([step.action]))
        entropy = self.policy.entropy(output, update.noise)
        self.network.zero_grad()
        (value + log_prob + config.entropy_coef * sign * entropy).sum().backward()

        named = dict(self.network.named_parameters())
        critic = [name for name in named if name.startswith("critic")]
        actor = [name for name in named if name not in critic]
        for names, step_size, kappa in (
            (critic, config.critic_step_size, config.critic_kappa),
            (actor, config.actor_step_size, config.actor_kappa),
        ):
            for name in names:
                self.traces[name] *= config.gamma * config.trace_lambda
                self.traces[name] += named[name].grad
            norm = sum(self.traces[name].abs().sum().item() for name in names)
            bound = step_size * kappa * max(abs(error), 1.0) * norm
            bounded = min(step_size / bound, step_size)
            for name in names:
                named[name].data += bounded * error * self.traces[name]


class ReplayActorCritic(Reference):
    """Expected Sarsa or Q-learning from replay, and a policy gradient on the current rollout.

    Sutton & Barto 2018, sections 6.5 and 6.6; the actor ascends sum_a pi(a|s) A(s, a), or
    log pi(a|s) Q(s, a) of the action taken.
    """

    def __init__(self, recording: Recording, spaces: Spaces, total_steps: int) -> None:
        self.num_values = sum(spaces.sizes)
        super().__init__(recording, spaces, total_steps)
        self.critic_optimizer = self.new_optimizer()
        self.target = None if self.config.tau is None else copy.deepcopy(self.network)

    def parameters(self) -> Parameters:
        """Those of the online network, and of the target network if there is one."""
        target = {} if self.target is None else dict(self.target.named_parameters())
        return super().parameters() | by_part(target, "target.")

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        if update.name == "critic":
            self.learn_critic(sampled(history, update), update)
        else:
            rollout = self.rollout(history, self.config.n_steps)
            self.learn_actor([step for steps in rollout for step in steps if step is not None])

    def learn_critic(self, steps: list[Transition], update: Update) -> None:
        """One step on a minibatch; reward and discount are those of the transitions themselves."""
        config = self.config
        observation = self.scales.observation([step.observation for step in steps])
        next_observation = self.scales.observation([step.next_observation for step in steps])
        with torch.no_grad():
            logits, online_q = self.network(next_observation)
            next_q = online_q if self.target is None else self.target(next_observation)[1]
            next_q = symexp(next_q) if config.symlog_values else next_q
            weight = torch.softmax(logits, dim=1)
            is_max = config.bootstrap == "max"
            next_value = next_q.max(dim=1).values if is_max else (weight * next_q).sum(dim=1)
            continues = as_tensor([float(not step.terminated) for step in steps])
            rewards = [self.scales.reward(step.reward) for step in steps]
            target = as_tensor(rewards) + config.gamma * continues * next_value
            target = symlog(target) if config.symlog_values else target
        q = self.network(observation)[1].gather(1, as_tensor([step.action for step in steps]))[:, 0]
        loss = ((target - q) ** 2).mean()
        loss = loss + config.q_regularizer * (q**2).mean() + config.q_mean_coef * q.mean()
        self.minimize(loss, self.critic_optimizer)
        if self.target is not None:
            online = dict(self.network.named_parameters())
            for name, parameter in self.target.named_parameters():
                parameter.data = (1 - config.tau) * parameter.data + config.tau * online[name].data

    def learn_actor(self, steps: list[Transition]) -> None:
        """One step of the policy gradient; the critic's values are constants to it."""
        logits, q = self.network(self.scales.observation([step.observation for step in steps]))
        q = symexp(q.detach()) if self.config.symlog_values else q.detach()
        action = as_tensor([step.action for step in steps])
        if self.config.actor_signal == "advantage":
            probability = torch.softmax(logits, dim=1)
            value = (probability.detach() * q).sum(dim=1, keepdim=True)
            gain = (probability * (q - value)).sum(dim=1)
        else:
            gain = self.policy.log_prob(logits, action) * q.gather(1, action)[:, 0]
        entropy = self.policy.entropy(logits, None)
        self.minimize(-(gain + self.entropy_coef() * entropy).mean(), self.optimizer)


def sampled(history: History, update: Update) -> list[Transition]:
    """The transitions of a minibatch, found by their observations, which never repeat."""
    known = {step.observation.tobytes(): step for steps in history for step in steps if step}
    return [known[row.float().numpy().tobytes()] for row in update.batch["observation"]]


def symlog(x: Tensor) -> Tensor:
    """Hafner et al. 2023, eq. 1."""
    return torch.sign(x) * torch.log(torch.abs(x) + 1)


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return torch.sign(x) * (torch.exp(torch.abs(x)) - 1)
