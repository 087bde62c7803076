"""Reference implementation of IMPALA, to compare the library's updates with."""

import math

import torch
from on_policy import Reference
from on_policy_history import History, stretches, transition_at
from on_policy_parts import as_tensor
from recorder import Update
from torch import Tensor

Place = tuple[int, int]


class IMPALA(Reference):
    """Espeholt et al. 2018, sections 4.1 and 4.2: V-trace as the sum that defines it (eq. 1)."""

    log_mu: dict[Place, float]

    def learn(self, history: History, update: Update, is_new: bool) -> None:
        config, num_envs = self.config, len(history[0])
        rollout = self.rollout(history, config.n_steps)
        if is_new:  # the parameters are still those that acted
            self.log_mu = self.behavior(history, len(history) - len(rollout))
        rows = [divmod(int(row), num_envs) for row in update.batch["rows"]]
        real = [index for index, place in enumerate(rows) if place in self.log_mu]
        places = [rows[index] for index in real]
        steps = [transition_at(rollout, place) for place in places]
        output, value = self.network(self.scales.observation([step.observation for step in steps]))
        log_prob = self.policy.log_prob(output, as_tensor([step.action for step in steps]))
        ratios = {
            place: math.exp(log_pi - self.log_mu[place])
            for place, log_pi in zip(places, log_prob.tolist(), strict=True)
        }
        targets, advantages = self.vtrace(rollout, ratios)
        target = as_tensor([targets[place] for place in places])
        advantage = as_tensor([advantages[place] for place in places])
        if config.normalize_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        rho = as_tensor([min(config.rho_clip, ratios[place]) for place in places])
        policy_loss = -(rho * advantage * log_prob).mean()
        value_loss = torch.nn.functional.mse_loss(value, target)
        entropy = self.policy.entropy(output, update.noise[real]).mean()
        loss = policy_loss + config.value_coef * value_loss - self.entropy_coef() * entropy
        self.minimize(loss, self.optimizer)

    def behavior(self, history: History, start: int) -> dict[Place, float]:
        """log mu of the actions since `start`, from outputs that are stored in float32.

        Observations must not be normalized: they were by older statistics.
        """
        found = {}
        for time, steps in enumerate(history[start:]):
            for env, step in enumerate(steps):
                if step is not None:
                    observation = self.scales.observation([step.observation])
                    with torch.no_grad():
                        output: Tensor = self.network(observation)[0]
                    stored = output.to(torch.float32).double()
                    log_mu = self.policy.log_prob(stored, as_tensor([step.action]))
                    found[time, env] = log_mu.item()
        return found

    def vtrace(
        self, rollout: History, ratios: dict[Place, float]
    ) -> tuple[dict[Place, float], dict[Place, float]]:
        """v_s, and r_s + gamma v_{s+1} - V(x_s), of the minibatch's steps."""
        gamma, config = self.config.gamma, self.config
        targets, advantages = {}, {}
        for stretch in stretches(rollout):
            if stretch[0] not in ratios:  # in another minibatch
                continue
            steps = [transition_at(rollout, place) for place in stretch]
            rewards = [self.scales.reward(step.reward) for step in steps]
            values = [self.value(step.observation) for step in steps]
            after = [0.0 if s.terminated else self.value(s.next_observation) for s in steps]
            own = [ratios[place] for place in stretch]
            found = []
            for start in range(len(stretch)):
                target, factor = values[start], 1.0
                for t in range(start, len(stretch)):
                    delta = rewards[t] + gamma * after[t] - values[t]
                    target += factor * min(config.rho_clip, own[t]) * delta
                    factor *= gamma * config.trace_lambda * min(config.c_clip, own[t])
                found.append(target)
            following = [*found[1:], after[-1]]
            for index, place in enumerate(stretch):
                targets[place] = found[index]
                advantages[place] = rewards[index] + gamma * following[index] - values[index]
        return targets, advantages
