"""An agent: it acts, stores what follows, and learns. The built-in loop and a hand-written one are
made of the same two calls."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import gymnasium
import numpy as np
import torch
from torch import Tensor

from footlight import __version__
from footlight.algorithms import config_class, find, name_of
from footlight.algorithms.protocol import (
    AlgorithmClass,
    Exploring,
    Remembering,
    SummingRewards,
    Tracing,
)
from footlight.algorithms.settings import Normalization
from footlight.ambient import computes
from footlight.config.fields import Range, integer
from footlight.config.fields import build as build_config
from footlight.environments.spaces import describe, require_actions
from footlight.errors import UserError, warn
from footlight.learning import transport
from footlight.learning.blueprint import Blueprint, networks_of, read_blueprint
from footlight.learning.compilation import CompilerMissing, compile_in_place
from footlight.learning.learner import UPDATES_WORTH_COMPILING, Compilation, Learner
from footlight.learning.normalization import make_normalizer
from footlight.learning.policy import Policy, as_batch, is_batch
from footlight.learning.transport import as_array
from footlight.storage import checkpoint
from footlight.storage.files import MAX_BYTES, make_folder, user_path
from footlight.streams import MAX_SEED, Streams, derived_seed
from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array, Decision, Transition

CompileMode = Literal["auto", "on", "off"]


class Pending(NamedTuple):
    """The last decision, until it is known what followed."""

    given: Array  # [E, *action shape], the actions that `act` returned
    decision: Decision


class Agent:
    """Acts, and learns from what it is told.

    algorithm: a name such as "sac", or a class with the protocol of `footlight.algorithms.protocol`.
    num_envs: environments that act and observe together. device: "cpu" or "cuda". threads: CPU threads of torch, None: as is.
    compile: "on", "off", or "auto": on where enough updates will come to pay it back (`total_steps` unknown: once they came).
    total_steps: environment steps of the whole run, over which schedules such as a linear learning rate go; None: they stand
    still. network: the user's own, see `footlight.algorithms.off_policy` and `.on_policy`. keep_gradients: keep each optimizer's
    last gradient in the state. fields: the algorithm's config. Raises `UserError` for anything of this that cannot work.
    """

    @computes
    def __init__(
        self,
        algorithm: str | AlgorithmClass,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        *,
        seed: int = 0,
        num_envs: int = 1,
        device: str = "cpu",
        compile: CompileMode = "auto",
        threads: int | None = None,
        total_steps: int | None = None,
        network: Any = None,
        keep_gradients: bool = False,
        notice: Callable[[str], None] = warn,
        **fields: Any,
    ) -> None:
        if compile not in get_args(CompileMode):
            raise UserError(
                f"compile is {compile!r} - it must be one of {', '.join(get_args(CompileMode))}"
            )
        num_envs = integer("num_envs", num_envs, Range(1))
        threads = None if threads is None else integer("threads", threads, Range(1))
        total_steps = None if total_steps is None else integer("total_steps", total_steps, Range(1))
        spaces, found = describe(observation_space, action_space), find(algorithm)
        require_actions(spaces, found.ACTIONS, name_of(algorithm))
        config = build_config(config_class(found), fields)
        seed = integer("seed", seed, Range(0, MAX_SEED))
        blueprint = Blueprint(name_of(algorithm), found, config, spaces, network, seed)
        self._set_up(blueprint, num_envs, device, keep_gradients, notice)
        if threads is not None:
            torch.set_num_threads(threads)
        self.learner.total_steps = total_steps
        updates = 0 if total_steps is None else self.buffer.expected_updates(total_steps)
        is_worth_it = device == "cpu" and updates >= UPDATES_WORTH_COMPILING
        self.learner.compilation = Compilation(
            enabled=compile == "on" or (compile == "auto" and is_worth_it),
            later=compile == "auto" and device == "cpu" and total_steps is None,
        )

    def _set_up(
        self, blueprint: Blueprint, num_envs: int, device: str, keep_gradients: bool,
        notice: Callable[[str], None],
    ) -> None:  # fmt: skip
        if device not in ("cpu", "cuda"):
            raise UserError(f"device is {device!r} - it must be cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError(
                "device is cuda - this machine, or this build of torch, has no CUDA device - use cpu"
            )
        self.blueprint, self.num_envs, self.notice = blueprint, num_envs, notice
        self.name, self.config, self.spaces, self.seed = (
            blueprint.name, blueprint.config, blueprint.spaces, blueprint.seed
        )  # fmt: skip
        self.device, self.keeps_gradients = torch.device(device), keep_gradients
        self.algorithm = algorithm = blueprint.build()
        self.buffer = buffer = algorithm.buffer(num_envs)
        self.streams = Streams(self.seed)
        sums_rewards = isinstance(buffer, SummingRewards) and buffer.sums_rewards
        self.normalizer = make_normalizer(self.config, self.spaces, num_envs, sums_rewards)
        self._clip = self.config.clip_reward if isinstance(self.config, Normalization) else None
        self.learner = Learner(
            algorithm, buffer, num_envs, self.device, self.normalizer, keep_gradients, notice
        )
        self._explore = algorithm.explore if isinstance(algorithm, Exploring) else None
        self._tracing = algorithm if isinstance(algorithm, Tracing) else None
        self.memory = self._new_memory()
        self._fresh_memory = tree_items(self._new_memory())
        self.pending: Pending | None = None
        self._acting_compiled = False
        self.policy = Policy(
            algorithm, blueprint, algorithm.policy(self.state), self.normalizer,
            derived_seed(self.seed, "policy"),
        )  # fmt: skip

    def _new_memory(self) -> Any:
        if not isinstance(self.algorithm, Remembering):
            return None
        return self.algorithm.memory(self.num_envs)

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
        return self.learner.compilation.enabled

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
        return sum(network.initial.numel() for _, network in networks_of(self.algorithm))

    @property
    def rows_per_update(self) -> int:
        """Transitions that one update learns from."""
        return self.learner.rows_per_update

    def act(self, observation: Any, explore: bool = False) -> Any:
        """The action for one observation, or actions for a batch, in the environment's own units.

        `explore` gives the actions of training, with the algorithm's exploration.
        """
        if not explore:
            return self.policy.act(observation)
        actions, decision = self.decide(observation)
        # A copy: the caller may change what it is given
        self.pending = Pending(actions.copy(), decision)
        return actions if is_batch(observation, self.spaces) else actions[0]

    def decide(self, observation: Any) -> tuple[Array, Decision]:
        """Actions of training for a batch, in the environment's own units, and the decision behind
        them, to be handed to `observe`."""
        batch = as_batch(observation, self.spaces)
        seen = batch if self.normalizer is None else self.normalizer.observation(batch)
        self._compile_acting()
        policy, stream = self.policy.state, self.streams.exploration
        if self._explore is None:
            decision, self.memory = self.algorithm.act(policy, self.memory, seen, stream)
        else:
            decision, self.memory = self._explore(
                policy, self.memory, seen, stream, self.buffer.num_steps
            )
        return self.policy.to_environment(decision.action), decision

    def _decision(self, action: Array) -> Decision:
        """The decision behind these actions: that of `act`, but for those that were replaced since,
        by a safety layer perhaps, which are taken to be drawn as they are.

        Raises `UserError` where the buffer keeps what only the algorithm knows of its own actions.
        """
        pending, self.pending = self.pending, None
        if pending is not None and np.array_equal(pending.given, action):
            return pending.decision
        replaced_EA = self.networks.head.from_unit(self.spaces.action.from_environment(action))
        if pending is None or pending.given.shape != action.shape:
            return Decision(replaced_EA)
        if pending.decision.extras:
            raise UserError(
                f"the action is not the one that act() returned - {self.name} also learns from "
                f"{', '.join(pending.decision.extras)} of its own actions - use them as they are"
            )
        same_E = (pending.given == action).reshape(len(action), -1).all(1)
        return Decision(np.where(same_E[:, None], pending.decision.action, replaced_EA))

    def observe(
        self, observation: Any, action: Any, reward: Any, next_observation: Any, terminated: Any, truncated: Any,
        valid: Any = None, *, decision: Decision | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """Store what followed an action, and learn when it is due. One transition, or one for each environment.

        `next_observation` is the true successor, not the first observation of a new episode. `valid` masks steps that were none.
        `decision`: that of `decide`, where its actions were taken as they are; None: that of the last `act`.
        Gives the metrics of the last update, or {} where none was due. Raises `Diverged` when one is not finite.
        """
        action = np.asarray(action)
        transition = Transition(
            as_batch(observation, self.spaces),
            action if action.ndim > len(self.spaces.action.shape) else action[None],
            np.asarray(reward, np.float32).reshape(-1),
            as_batch(next_observation, self.spaces),
            np.asarray(terminated, bool).reshape(-1),
            np.asarray(truncated, bool).reshape(-1),
            valid,
        )
        if len(transition.action) != self.num_envs:
            raise UserError(
                f"{len(transition.action)} transitions came - this agent has num_envs={self.num_envs}"
            )
        if decision is None:
            decision = self._decision(transition.action)
        if self._clip is not None:
            clipped = transition.reward.clip(-self._clip, self._clip)
            transition = transition._replace(reward=clipped)
        if self.normalizer is not None:
            transition = self.normalizer.learn(transition)
        self.buffer.add(transition, decision)
        before = self.learner.num_updates
        for due in self.buffer.due(self.streams.minibatch):
            self.learner.update(due, self.streams.update)
        metrics = self._metrics_since(before)
        # After the last update, in which a trace still counts
        if (ended := transition.terminated | transition.truncated).any():
            self._end_episodes(ended)
        return metrics

    def finish(self) -> dict[str, float]:
        """Learn from what a buffer still holds for an update that would be due later: nothing more will be observed."""
        before = self.learner.num_updates
        for due in self.buffer.due(self.streams.minibatch, final=True):
            self.learner.update(due, self.streams.update)
        return self._metrics_since(before)

    def _metrics_since(self, num_updates: int) -> dict[str, float]:
        if self.learner.num_updates == num_updates:
            return {}
        self.learner.learned_at = self.num_steps
        return self.learner.latest()

    def forget_episodes(self, envs: list[int]) -> None:
        """Cut off what was under way in these environments: a new episode begins there that does not follow from it."""
        ended = np.isin(np.arange(self.num_envs), envs)
        self.buffer.forget_pending(ended)
        self._end_episodes(ended)
        if self.normalizer is not None:
            self.normalizer.discounted_return[ended] = 0

    def _end_episodes(self, ended_E: Array) -> None:
        """In the environments of the mask, what was remembered within the episode is forgotten."""
        if self._fresh_memory:
            leaves = tree_items(self.memory)
            for name, fresh in self._fresh_memory.items():
                leaves[name] = leaves[name].copy()
                leaves[name][ended_E] = fresh[ended_E]
            self.memory = tree_rebuilt(self.memory, leaves)
        if self._tracing is not None:
            self._tracing.episode_ended(self.state, ended_E)

    def compile(self) -> None:
        """Compile the usual forms of the update now, rather than when they are needed. Nothing happens without `compiled`."""
        self.learner.compile()
        self._compile_acting()

    def _compile_acting(self) -> None:
        """Compile the forward pass of acting too, once, where networks see images: it costs half as much as learning there."""
        network = self.networks.policy
        if self._acting_compiled or not network.on_images or not self.compiled:
            return
        if self.device.type != "cpu" or self.spaces.has_leaves:
            return
        self._acting_compiled = True
        shape = self.num_envs, *self.spaces.observation_shape
        example = torch.from_numpy(np.zeros(shape, np.dtype(self.spaces.observation_dtype)))
        try:
            network.compile_infer(self.policy.state.parameters, example, compile_in_place)
        except CompilerMissing as reason:
            self.notice(f"acting is not compiled: {reason} - continuing without, which is slower")

    def metrics(self) -> dict[str, float]:
        """Means of the metrics over the updates since this was last called; {} if there were none."""
        return self.learner.metrics()

    def batch(self) -> dict[str, Array]:
        """What the last update has learned from, and its noise, by name."""
        return self.learner.batch()

    def require_finite(self) -> None:
        """Raise `Diverged` where a number of the state is not finite."""
        self.learner.require_finite()

    def save(self, path: str | Path) -> None:
        """Write the agent into the folder `path`, replacing an agent saved there. Raises `UserError` or `StorageFault`."""
        folder = user_path(path)
        if folder.exists() and not (folder / checkpoint.MANIFEST).is_file():
            raise UserError(
                f"{folder} exists and is no saved agent - nothing was written - choose another name"
            )
        make_folder(folder.parent)
        checkpoint.write(folder, self.groups(), self.manifest())

    def groups(self) -> dict[str, dict[str, Array]]:
        """All arrays of the agent, by the file that they go into."""
        leaves = {name: as_array(leaf) for name, leaf in self._leaves().items()}
        if self.pending is not None:
            leaves |= _pending_arrays(self.pending)
        return {"policy": self.policy.arrays(), "agent": leaves, "buffer": self.buffer.arrays()}

    def _leaves(self) -> dict[str, Any]:
        """What changes and always has the same shape, by name."""
        statistics = self.normalizer.arrays() if self.normalizer else {}
        return {**self.learner.leaves(), **statistics, **tree_items(self.memory, "memory.")}

    def manifest(self) -> dict[str, Any]:
        """Everything else that the agent is made of, as strict JSON."""
        return {
            "footlight": __version__,
            "algorithm": self.name,
            "config": dataclasses.asdict(self.config),
            "spaces": self.spaces.to_json(),
            "network": self.blueprint.network_name,
            "seed": self.seed,
            "num_envs": self.num_envs,
            "num_updates": self.num_updates,
            "learned_at": self.learner.learned_at,
            "compiled": self.compiled,
            "compile_later": self.learner.compilation.later,
            "keep_gradients": self.keeps_gradients,
            "streams": self.streams.positions(),
            "buffer": self.buffer.counters(),
        }

    @staticmethod
    @computes
    def load(
        path: str | Path, *, algorithm: AlgorithmClass | None = None, network: Any = None, device: str = "cpu",
        total_steps: int | None = None, notice: Callable[[str], None] = warn,
    ) -> "Agent":  # fmt: skip
        """The agent saved at `path` (an agent's folder, a checkpoint, or a run folder), ready to go on. Raises `UserError`."""
        folder = checkpoint.find(Path(path), notice)
        manifest = checkpoint.read_manifest(folder)
        with checkpoint.as_user_error(folder):
            agent = Agent.from_blueprint(
                read_blueprint(manifest, algorithm, network), manifest, device, notice
            )
            agent.learner.total_steps = total_steps
        agent.restore(folder)
        return agent

    @classmethod
    def from_blueprint(
        cls, blueprint: Blueprint, manifest: dict[str, Any], device: str,
        notice: Callable[[str], None],
    ) -> "Agent":  # fmt: skip
        """An agent as it was before its first step, set up as the manifest says."""
        agent = cls.__new__(cls)
        gradients = bool(manifest.get("keep_gradients", False))
        agent._set_up(blueprint, manifest["num_envs"], device, gradients, notice)
        agent.learner.compilation = Compilation(
            bool(manifest["compiled"]), bool(manifest["compile_later"])
        )
        return agent

    def restore(self, folder: Path) -> None:
        """Go back, or on, to a state of this very agent that was saved in `folder`. Raises `UserError`."""
        self.restore_from(
            checkpoint.read_manifest(folder), partial(checkpoint.read_arrays, folder), folder
        )

    def restore_from(
        self, manifest: dict[str, Any], read: Callable[[str, int], dict[str, Any]], folder: Path
    ) -> None:
        """Restore from a manifest; `read` returns the arrays of a group, at most that many bytes."""
        with checkpoint.as_user_error(folder):
            self.learner.num_updates = int(manifest["num_updates"])
            self.learner.learned_at = int(manifest["learned_at"])
            self.streams.restore(manifest["streams"])
        self.memory = self._new_memory()
        leaves = self._leaves()
        arrays = {name: as_array(leaf) for name, leaf in leaves.items()}
        max_bytes = sum(array.nbytes for array in arrays.values()) + MAX_BYTES
        saved = dict(read("agent", max_bytes))
        pending = {name: saved.pop(name) for name in [*saved] if name.startswith("pending.")}
        checkpoint.copy_into(arrays, saved, folder)
        with checkpoint.as_user_error(folder):
            self.pending = _pending_from(pending)
            max_bytes = self.buffer.num_bytes + MAX_BYTES  # and what waits to get into it
            self.buffer.restore(read("buffer", max_bytes), manifest["buffer"])
        for name, leaf in leaves.items():
            # A device's tensors are copies; on the CPU the arrays are the tensors
            if isinstance(leaf, Tensor) and leaf.device.type != "cpu":
                leaf.copy_(torch.from_numpy(arrays[name]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold the content of a checkpoint; your own network and algorithm are stored by class name."""
        return transport.reduce_agent(self)


def _pending_arrays(pending: Pending) -> dict[str, Array]:
    extras = {f"pending.extras.{name}": array for name, array in pending.decision.extras.items()}
    return {
        "pending.given": pending.given, "pending.action": pending.decision.action, **extras
    }  # fmt: skip


def _pending_from(arrays: dict[str, Array]) -> Pending | None:
    """The inverse of `_pending_arrays`."""
    if not arrays:
        return None
    prefix = "pending.extras."
    extras = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    return Pending(arrays["pending.given"], Decision(arrays["pending.action"], extras))
