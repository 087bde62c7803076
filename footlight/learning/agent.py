"""An agent acts, stores what follows, and learns: the two calls that every loop is made of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from footlight.algorithms.protocol import Collecting, Config, Exploring, SummingRewards, Tracing
from footlight.algorithms.settings import Normalization
from footlight.ambient import computes
from footlight.config.fields import Range, integer
from footlight.environments.source import Arguments, EnvironmentLike
from footlight.errors import warn
from footlight.learning import saved_agent
from footlight.learning.announcing import compile_acting
from footlight.learning.blueprint import AnyAlgorithmClass, Blueprint, new_blueprint, num_parameters
from footlight.learning.decisions import Pending, decision_behind
from footlight.learning.evaluation import Evaluation, evaluate_agent
from footlight.learning.execution import Execution
from footlight.learning.learner import Learner
from footlight.learning.normalization import make_normalizer
from footlight.learning.observations import as_batch, is_batch
from footlight.learning.outcomes import try_out
from footlight.learning.policy import Policy
from footlight.learning.scheduling import scheduled, with_values
from footlight.learning.transitions import as_transition
from footlight.streams import Streams, derived_seed
from footlight.types import Array, Decision, Transition


class Agent:
    """An algorithm with its networks, buffer and statistics: acts, and learns from observations.

    algorithm: a name such as "sac", a class (`footlight.algorithms.protocol`), or FILE.py:NAME.
    num_envs: environments that act and observe together.
    total_steps: of the whole run, over which schedules run; None: they keep their first value.
    config: an object such as `footlight.SACConfig(gamma=0.98)`.
    values: fields of the algorithm's config, which override `config`; your own `network`, see
    `footlight.algorithms.off_policy` and `.on_policy`, or FILE.py:NAME; and fields of
    `footlight.learning.execution.Execution`: `device`, "cpu" or "cuda"; `compile`, "on", "off" or
    "auto"; `threads` of torch; `keep_gradients`, for histograms; `notice`, called with messages.

    Raises `UserError` for any argument that is not valid.
    """

    @computes
    def __init__(
        self, algorithm: str | AnyAlgorithmClass, observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any], *, seed: int = 0, num_envs: int = 1,
        total_steps: int | None = None, config: Config | None = None, **values: Any,
    ) -> None:  # fmt: skip
        execution, values = Execution.split(values)
        num_envs = integer("num_envs", num_envs, Range(1))
        total_steps = None if total_steps is None else integer("total_steps", total_steps, Range(1))
        spaces = observation_space, action_space
        self._set_up(new_blueprint(algorithm, spaces, seed, config, values), num_envs, execution)
        execution.set_threads()
        updates = None if total_steps is None else self.buffer.expected_updates(total_steps)
        self.learner.total_steps = total_steps
        self.learner.compilation.set_when(*execution.when_to_compile(updates))

    @classmethod
    def from_blueprint(cls, blueprint: Blueprint, num_envs: int, execution: Execution) -> "Agent":
        """An agent before its first step, eager until its `learner.compilation` says otherwise."""
        agent = cls.__new__(cls)
        agent._set_up(blueprint, num_envs, execution)
        return agent

    def _set_up(self, blueprint: Blueprint, num_envs: int, execution: Execution) -> None:
        self.blueprint, self.num_envs, self.execution = blueprint, num_envs, execution
        self.name, self.config = blueprint.name, blueprint.config
        self.spaces, self.seed = blueprint.spaces, blueprint.seed
        self.device = torch.device(execution.device)
        self.algorithm = algorithm = blueprint.build()
        self.buffer = buffer = algorithm.buffer(num_envs)
        self.streams = Streams(self.seed)
        sums_rewards = isinstance(buffer, SummingRewards) and buffer.sums_rewards
        self.normalizer = make_normalizer(self.config, self.spaces, num_envs, sums_rewards)
        self._clip = self.config.clip_reward if isinstance(self.config, Normalization) else None
        self.learner = Learner(
            algorithm, buffer, num_envs, self.device, self.normalizer, execution.keep_gradients,
            execution.notice,
        )  # fmt: skip
        self._explore = algorithm.explore if isinstance(algorithm, Exploring) else None
        self._collecting = algorithm if isinstance(algorithm, Collecting) else None
        self._tracing = algorithm if isinstance(algorithm, Tracing) else None
        self.pending: Pending | None = None
        self.scheduled: dict[str, float] = {}
        """Fields of the config that have changed since the agent began, see `set`."""
        self.environment: dict[str, Any] = {}
        """What `save` records about the environment."""
        self._acting_compiled = False
        self.policy = Policy(
            algorithm, blueprint, algorithm.policy(self.state), self.normalizer,
            derived_seed(self.seed, "policy"),
        )  # fmt: skip
        self.memory = self.policy.new_memory(num_envs)
        try_out(self.policy, self.learner, self.memory)

    @property
    def state(self) -> Any:
        """The learner's state."""
        return self.learner.state

    @property
    def networks(self) -> Any:
        """The algorithm's networks."""
        return self.algorithm.networks

    @property
    def compiled(self) -> bool:
        """Whether updates are compiled."""
        return self.learner.is_compiled

    @property
    def num_steps(self) -> int:
        """Environment steps observed."""
        return self.buffer.num_steps

    @property
    def num_updates(self) -> int:
        """Updates made."""
        return self.learner.num_updates

    @property
    def num_parameters(self) -> int:
        """Parameters that learn, targets not counted."""
        return num_parameters(self.algorithm)

    def act(self, observation: Any, explore: bool = False) -> Any:
        """The action for one observation, or actions for a batch, in the environment's own units.

        `explore` returns the actions of training, with the algorithm's exploration. Raises
        `UserError` for an observation of another shape, or that is not finite.
        """
        if not explore:
            return self.policy.act(observation)
        actions, decision = self.decide(observation)
        self.pending = Pending(actions.copy(), decision)  # the caller may change its own
        return actions if is_batch(observation, self.spaces) else actions[0]

    def decide(self, observation: Any) -> tuple[Array, Decision]:
        """Actions of training [E, ...] for a batch, in the environment's own units, and the
        decision behind them, to be passed to `observe`. Raises what `act` raises."""
        batch = as_batch(observation, self.spaces, self.num_envs)
        seen = batch if self.normalizer is None else self.normalizer.observation(batch)
        self._compile_acting()
        policy, stream = self.policy.state, self.streams.exploration
        if self._collecting is not None:
            policy = self._collecting.collecting_policy(self.state)
        if self._explore is None:
            decision, self.memory = self.algorithm.act(policy, self.memory, seen, stream)
        else:
            decision, self.memory = self._explore(policy, self.memory, seen, stream, self.num_steps)
        return self.policy.to_environment(decision.action), decision

    def observe(
        self, observation: Any, action: Any, reward: Any, next_observation: Any, terminated: Any,
        truncated: Any, valid: Any = None, *, decision: Decision | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """Store what followed an action, and learn when it is due: 1 transition, or E of them.

        next_observation: the true successor, not the first observation of a new episode.
        valid: a mask [E], False for steps that were not transitions; None: all were.
        decision: that of `decide`, where its actions were taken as they are; None: that of the last
        `act`.

        Returns the metrics of the last update, or {} where none was due. Raises `Diverged` when one
        is not finite, and `UserError` for what does not fit the spaces or is not finite.
        """
        transition = as_transition(
            (observation, action, reward, next_observation, terminated, truncated, valid),
            self.spaces, self.num_envs,
        )  # fmt: skip
        return self.learn_from(transition, decision)

    def learn_from(
        self, transition: Transition, decision: Decision | None = None
    ) -> dict[str, float]:
        """Like `observe`, for a transition that is known to be valid, as `Environments` make."""
        pending, self.pending = self.pending, None
        if decision is None:
            decision = decision_behind(transition.action, pending, self.policy)
        if self._clip is not None:
            transition = transition._replace(reward=transition.reward.clip(-self._clip, self._clip))
        if self.normalizer is not None:
            transition = self.normalizer.learn(transition)
        self.buffer.add(transition, decision)
        before = self.learner.num_updates
        for due in self.buffer.due(self.streams.minibatch):
            self.learner.update(due, self.streams.update)
        metrics = self.learner.end_step(before)
        # After the last update, in which a trace still counts
        if np.count_nonzero(ended := transition.terminated | transition.truncated):
            self._end_episodes(ended)
        return metrics

    def finish(self) -> dict[str, float]:
        """Learn from what a buffer still holds for an update that would be due later: nothing more
        will be observed. Returns and raises what `observe` does."""
        before = self.learner.num_updates
        for due in self.buffer.due(self.streams.minibatch, final=True):
            self.learner.update(due, self.streams.update)
        return self.learner.end_step(before)

    def forget_episodes(self, envs: list[int]) -> None:
        """Abandon the episodes of these environments: new ones begin there, which do not follow
        from the last step."""
        ended = np.isin(np.arange(self.num_envs), envs)
        self.buffer.forget_pending(ended)
        self._end_episodes(ended)
        if self.normalizer is not None:
            self.normalizer.discounted_return[ended] = 0

    def _end_episodes(self, ended_E: Array) -> None:
        """Reset what was remembered within the episode in the environments of the mask."""
        self.memory = self.policy.reset_memory(self.memory, ended_E)
        if self._tracing is not None:
            self._tracing.episode_ended(self.state, ended_E)

    def compile(self, ahead: bool = False) -> None:
        """Compile all updates now, or (`ahead`, on Linux) in processes meanwhile, if `compiled`."""
        self.learner.compile(ahead)
        self._compile_acting()

    def _compile_acting(self) -> None:
        """Compile the policy too, once."""
        if self._acting_compiled or not self.compiled:
            return
        self._acting_compiled = True
        compile_acting(
            self.policy, self.num_envs, self.learner.compilation.announce, self.execution.notice
        )

    def set(self, **values: float) -> None:
        """Change fields of the config that are declared schedulable, such as `learning_rate`.

        They hold from the next action and the next update on; `config` keeps those that the agent
        began with, and `scheduled` has the others. Raises `UserError` for any other field.
        """
        converted = scheduled(self.config, values, self.name)
        values = {**self.scheduled, **converted}
        self.algorithm = with_values(self.algorithm, vars(replace(self.config, **values)))
        self.scheduled = values
        self._explore = self.algorithm.explore if isinstance(self.algorithm, Exploring) else None
        self.learner.schedule(converted)

    def metrics(self) -> dict[str, float]:
        """Means of the metrics over the updates since the last call; {} if there were none."""
        return self.learner.metrics()

    def evaluate(
        self, environment: EnvironmentLike, episodes: int = 20, seed: int | None = None,
        deterministic: bool = True,
    ) -> Evaluation:  # fmt: skip
        """Raw returns of whole episodes; the agent's random streams and memory stay as they are.

        environment: an id or a function that makes one; an object is used as it is, and afterwards
        in a new episode. seed: of episodes and sampled actions; None: the agent's. Raises
        `UserError` and `EnvironmentFault`.
        """
        return evaluate_agent(self, environment, episodes, seed, deterministic)

    def save(
        self, path: str | Path, environment: EnvironmentLike | None = None,
        env_kwargs: Arguments = None,
    ) -> None:  # fmt: skip
        """Write the agent into the folder `path`, replacing an agent saved there.

        environment, env_kwargs: what it acts in, for `footlight evaluate`, `watch` and `plot`;
        None: as saved or loaded before. Raises `UserError` or `StorageFault`.
        """
        saved_agent.save(self, path, environment, env_kwargs)

    @staticmethod
    @computes
    def load(
        path: str | Path, *, algorithm: AnyAlgorithmClass | None = None, network: Any = None,
        device: str = "cpu", total_steps: int | None = None,
        notice: Callable[[str], None] = warn,
    ) -> "Agent":  # fmt: skip
        """The agent saved at `path` (an agent's folder, a checkpoint, or a run folder), ready to
        continue.

        algorithm, network: your own, where the agent was made with one.
        total_steps, device, notice: as for a new agent. Raises `UserError`.
        """
        execution = Execution(device=device, notice=notice)
        agent = saved_agent.load(Agent, path, execution, algorithm, network)
        agent.learner.total_steps = total_steps
        return agent

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold the content of a checkpoint; your own network and algorithm are
        stored by class name."""
        return saved_agent.reduce(self)
