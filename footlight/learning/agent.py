"""An agent: algorithm + state + buffer. The built-in loop and a hand-written one are made of the same two calls."""

import dataclasses
import math
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
import torch
from torch import Tensor

from footlight import __version__
from footlight.algorithms import Algorithm, find, name_of
from footlight.ambient import computes
from footlight.config.fields import Range, integer
from footlight.config.fields import build as build_config
from footlight.environments.spaces import describe, require_actions
from footlight.equations.optimizers import make_room_for_gradients
from footlight.errors import Diverged, UserError, warn
from footlight.learning import transport
from footlight.learning.compilation import CompilerMissing, compile_in_place, keep_freed_memory
from footlight.learning.normalization import divergence_cause
from footlight.learning.policy import Policy, as_batch, build_networks, described, make_normalizer
from footlight.learning.transport import as_array, to_device
from footlight.storage import checkpoint
from footlight.storage.files import MAX_BYTES, make_folder, user_path
from footlight.streams import MAX_SEED, Streams, derived_seed
from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array, Spaces, Transition

CompileMode = Literal["auto", "on", "off"]
UPDATES_WORTH_COMPILING = 4_000  # below, compiling on a new machine takes longer than it saves

keep_freed_memory()


class Agent:
    """Acts, and learns from what it is told.

    algorithm: a name such as "sac", or an object with the protocol of `footlight.algorithms.Algorithm`.
    num_envs: environments that act and observe together. device: "cpu" or "cuda". threads: CPU threads of torch, None: as is.
    compile: "on", "off", or "auto": on where enough updates will come to pay it back (`total_steps` unknown: once they came).
    total_steps: environment steps of the whole run, over which schedules such as a linear learning rate go; None: they stand
    still. network: the user's own, see `footlight.algorithms.off_policy` and `.on_policy`. keep_gradients: keep each optimizer's
    last gradient in the state. fields: the algorithm's config. Raises `UserError` for anything of this that cannot work.
    """

    @computes
    def __init__(
        self,
        algorithm: str | Algorithm,
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
        spaces = describe(observation_space, action_space)
        method = find(algorithm)
        require_actions(spaces, method.ACTIONS, name_of(algorithm))
        config = build_config(method.Config, fields)
        self._set_up(
            name_of(algorithm),
            method,
            config,
            spaces,
            seed,
            num_envs,
            device,
            network,
            keep_gradients,
            notice,
        )
        if threads is not None:
            torch.set_num_threads(threads)
        self._total_steps: int | None = total_steps
        updates = 0 if total_steps is None else self.buffer.expected_updates(total_steps)
        self.compiled = compile == "on" or (
            compile == "auto" and device == "cpu" and updates >= UPDATES_WORTH_COMPILING
        )
        self._compile_later = compile == "auto" and device == "cpu" and total_steps is None

    def _set_up(
        self, name: str, method: Algorithm, config: Any, spaces: Spaces, seed: int, num_envs: int, device: str,
        network: Any, keep_gradients: bool, notice: Callable[[str], None],
    ) -> None:  # fmt: skip
        seed = integer("seed", seed, Range(0, MAX_SEED))
        if device not in ("cpu", "cuda"):
            raise UserError(f"device is {device!r} - it must be cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError(
                "device is cuda - this machine, or this build of torch, has no CUDA device - use cpu"
            )
        self.name, self.algorithm, self.config, self.spaces = name, method, config, spaces
        self.seed, self.num_envs, self.device, self.notice = (
            seed,
            num_envs,
            torch.device(device),
            notice,
        )
        self.network_name = (
            getattr(network, "__qualname__", type(network).__name__)
            if network is not None
            else None
        )
        self.buffer = method.buffer(config, spaces, num_envs)
        self.networks = build_networks(method, config, spaces, network, seed)
        state = method.init(config, self.networks, spaces, num_envs)
        if keep_gradients:
            make_room_for_gradients(state)
        self.keeps_gradients = keep_gradients
        self.state = to_device(state, self.device)
        self.streams = Streams(seed)
        self.normalizer = make_normalizer(
            config, spaces, num_envs, getattr(self.buffer, "sums_rewards", False)
        )
        self._clip_reward = getattr(config, "clip_reward", None)
        self.acted: tuple[Array, Array] | None = None  # what `act` gave last, and how it was drawn
        self.num_updates = 0
        self._learned_at = 0  # environment steps at the last update
        self.compiled = self._compile_later = self._acting_compiled = False
        count = len(method.METRICS)
        self._latest = torch.zeros(count, device=self.device)
        self._totals = torch.zeros(count, device=self.device)  # sums since the last reading,
        self._counts = np.zeros(count, np.float32)  # and how many were summed
        self._noise = np.zeros(
            method.noise_shape(config, self.networks, self.buffer.batch), np.float32
        )
        self._host_batch = [torch.from_numpy(array) for array in (*self.buffer.batch, self._noise)]
        self._host_batch += self.normalizer.tensors() if self.normalizer else []
        self._batch = (
            self._host_batch if device == "cpu" else [t.to(self.device) for t in self._host_batch]
        )
        self._updates: dict[Hashable, Callable[[], None]] = {}
        self._given: dict[Hashable, Array] = {}  # which metrics each variant gives, as 0 and 1
        parameters_P = getattr(self.state, method.POLICY)
        own = {"seed": derived_seed(seed, "policy"), "network": network, "network_seed": seed}
        self.policy = Policy(
            method, config, self.networks, spaces, parameters_P, self.normalizer, **own
        )

    @property
    def num_steps(self) -> int:
        """Environment steps observed."""
        return self.buffer.num_steps

    @property
    def num_parameters(self) -> int:
        """Parameters that learn, targets not counted."""
        return int(
            sum(
                value.initial.numel()
                for value in vars(self.networks).values()
                if hasattr(value, "initial")
            )
        )

    @property
    def rows_per_update(self) -> int:
        """Transitions that one update learns from."""
        return len(getattr(self.buffer.batch, "rows", ())) or int(self.buffer.batch.reward.size)

    def act(self, observation: Any, explore: bool = False) -> Any:
        """The action for one observation, or actions for a batch, in the environment's own units.

        `explore` gives the actions of training, with the algorithm's exploration.
        """
        if not explore:
            return self.policy.act(observation)
        batch = as_batch(observation, self.spaces)
        seen = batch if self.normalizer is None else self.normalizer.observation(batch)
        self._compile_acting()
        drawn_EA = self.algorithm.explore(
            self.config,
            self.networks,
            self.state,
            seen,
            self.streams.exploration,
            self.buffer.num_steps,
        )
        actions = self.policy.to_environment(drawn_EA)
        self.acted = actions.copy(), drawn_EA  # a copy: the caller may change what it is given
        return actions if np.ndim(observation) > len(self.spaces.observation_shape) else actions[0]

    def _drawn(self, action: Array) -> Array:
        """These actions as they were drawn: density is about the number before it was cut off at the bounds.

        An action that `act` did not give, a safety layer's perhaps, is taken to be drawn as it is.
        """
        if self.acted is not None and np.array_equal(self.acted[0], action):
            return self.acted[1]
        unit_EA = self.spaces.action.from_environment(action)
        head = getattr(self.networks, "head", None)
        drawn_EA: Array = unit_EA if head is None else head.from_unit(unit_EA)
        if self.acted is None or self.acted[0].shape != action.shape:
            return drawn_EA
        same_E = (self.acted[0] == action).reshape(len(action), -1).all(1)
        return np.where(same_E[:, None], self.acted[1], drawn_EA)

    def observe(
        self, observation: Any, action: Any, reward: Any, next_observation: Any, terminated: Any, truncated: Any,
        valid: Any = None,
    ) -> dict[str, float]:  # fmt: skip
        """Store what followed an action, and learn when it is due. One transition, or one for each environment.

        `next_observation` is the true successor, not the first observation of a new episode. `valid` masks steps that were none.
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
        if self._clip_reward is not None:
            transition = transition._replace(
                reward=transition.reward.clip(-self._clip_reward, self._clip_reward)
            )
        if self.normalizer is not None:
            transition = self.normalizer.learn(transition)
        self.buffer.add(transition, self._drawn(transition.action))
        metrics = self._learn()
        if (
            ended := transition.terminated | transition.truncated
        ).any():  # after its last update, in which a trace still counts
            self.algorithm.episode_ended(self.state, ended)
        return metrics

    def finish(self) -> dict[str, float]:
        """Learn from what a buffer still holds for an update that would be due later: nothing more will be observed."""
        return self._learn(final=True)

    def _learn(self, final: bool = False) -> dict[str, float]:
        before = self.num_updates
        for index in self.buffer.due(self.streams.minibatch, final):
            self._update(self.algorithm.variant(self.config, index))
        if self.num_updates == before:
            return {}
        self._learned_at = self.num_steps
        latest = dict(zip(self.algorithm.METRICS, self._latest.tolist(), strict=True))
        if not math.isfinite(sum(latest.values())):
            wrong = [name for name, array in self.batch().items() if not np.isfinite(array).all()]
            raise self._diverged(
                [*wrong, *(name for name, value in latest.items() if not math.isfinite(value))][0]
            )
        return latest

    def batch(self) -> dict[str, Array]:
        """What the last update has learned from, and its noise, by name."""
        return {f"batch.{name}": array for name, array in self.buffer.batch._asdict().items()} | {
            "noise": self._noise
        }

    def forget_episodes(self, envs: list[int]) -> None:
        """Cut off what was under way in these environments: a new episode begins there that does not follow from it."""
        ended = np.isin(np.arange(self.num_envs), envs)
        self.buffer.forget_pending(ended)
        self.algorithm.episode_ended(self.state, ended)
        if self.normalizer is not None:
            self.normalizer.discounted_return[ended] = 0

    @computes
    def _update(self, variant: Hashable) -> None:
        if self._compile_later and self.num_updates == UPDATES_WORTH_COMPILING:
            self.compiled = True
            self._updates.clear()
        if self._total_steps and hasattr(self.state, "progress"):
            self.state.progress.fill_(
                min(1.0, self._learned_at / self._total_steps)
            )  # where what is learned from began
        if variant not in self._updates:
            self._updates[variant] = self._make_update(variant)
        if self._noise.size:
            self.streams.update.standard_normal(out=self._noise, dtype=np.float32)
        if self._batch is not self._host_batch:
            for there, here in zip(self._batch, self._host_batch, strict=True):
                there.copy_(here)
        self._updates[variant]()
        self._counts += self._given[variant]
        self.num_updates += 1

    @computes
    def compile(self) -> None:
        """Compile the usual forms of the update now, rather than when they are needed. Nothing happens without `compiled`."""
        for variant in self.algorithm.variants(self.config, self.networks):
            if self.compiled and variant not in self._updates:
                self._updates[variant] = self._make_update(variant)
        self._compile_acting()

    def _compile_acting(self) -> None:
        """Compile the forward pass of acting too, once, where networks see pictures: it costs half as much as learning there."""
        on_cpu = self.device.type == "cpu"
        if (
            not self.compiled
            or self._acting_compiled
            or not on_cpu
            or not getattr(self.networks, "pixels", False)
        ):
            return
        self._acting_compiled = True
        network, parameters_P = (
            getattr(part, self.algorithm.POLICY) for part in (self.networks, self.state)
        )
        shape, dtype = (
            (self.num_envs, *self.spaces.observation_shape),
            np.dtype(self.spaces.observation_dtype),
        )
        try:
            network.compile_infer(
                parameters_P, torch.from_numpy(np.zeros(shape, dtype)), compile_in_place
            )
        except CompilerMissing as reason:
            self.notice(f"acting is not compiled: {reason} - going on without, which is slower")

    def _make_update(self, variant: Hashable) -> Callable[[], None]:
        """The update of this variant as a call without arguments, bound to the tensors of state, batch and noise."""
        leaves = {
            name: leaf for name, leaf in tree_items(self.state).items() if isinstance(leaf, Tensor)
        }
        num_leaves, names = len(leaves), self.algorithm.METRICS
        as_batch_of, width = type(self.buffer.batch), len(self.buffer.batch)

        def update(*tensors: Tensor) -> None:
            state = tree_rebuilt(self.state, dict(zip(leaves, tensors[:num_leaves], strict=True)))
            *inputs, totals, latest = tensors[num_leaves:]
            batch, noise = as_batch_of(*inputs[:width]), inputs[width]
            if self.normalizer is not None:
                batch = self.normalizer.batch(batch, tuple(inputs[width + 1 :]))
            metrics = self.algorithm.update(
                self.config, self.networks, state, batch, noise, variant
            )
            if unnamed := sorted(metrics.keys() - set(names)):
                raise UserError(
                    f"{self.name}: update returned a metric {unnamed[0]!r} that METRICS does not name - add it there"
                )
            self._given[variant] = np.array([name in metrics for name in names], np.float32)
            zero = torch.zeros_like(latest[0])
            totals.add_(torch.stack([metrics.get(name, zero) for name in names]))
            latest.copy_(
                torch.stack([metrics.get(name, latest[index]) for index, name in enumerate(names)])
            )

        tensors = [*leaves.values(), *self._batch, self._totals, self._latest]
        if self.compiled and variant in self.algorithm.variants(
            self.config, self.networks
        ):  # a rare form is not worth it
            try:
                return compile_in_place(update, tensors)
            except CompilerMissing as reason:
                self.notice(
                    f"not compiled: {reason} - going on with the eager update, which is slower"
                )
                self.compiled = False
        return torch.no_grad()(lambda: update(*tensors))

    def metrics(self) -> dict[str, float]:
        """Means of the metrics over the updates since this was last called; {} if there were none."""
        sums, counts = self._totals.tolist(), self._counts.tolist()
        self._totals.zero_()
        self._counts[:] = 0
        return {n: s / c for n, s, c in zip(self.algorithm.METRICS, sums, counts, strict=True) if c}

    def require_finite(self) -> None:
        """Raise `Diverged` where a number of the state is not finite: metrics are of the moment before an update."""
        for name, leaf in tree_items(self.state).items():
            if not np.isfinite(as_array(leaf)).all():
                raise self._diverged(name)

    def _diverged(self, name: str) -> Diverged:
        cause = divergence_cause(self.batch(), self.normalizer)
        return Diverged(
            f"{name} is not finite after update {self.num_updates} (step {self.num_steps}) - {cause}"
        )

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
        name = self.algorithm.POLICY
        views = getattr(self.networks, name).named(getattr(self.state, name))
        policy = {name: as_array(view) for name, view in views.items()}
        policy |= self.normalizer.policy_arrays() if self.normalizer else {}
        leaves = {name: as_array(leaf) for name, leaf in self._leaves().items()}
        return {"policy": policy, "agent": leaves, "buffer": self.buffer.arrays()}

    def _leaves(self) -> dict[str, Any]:
        """Everything that changes in place, by name: the state, and the metrics not yet read."""
        metrics = {"latest": self._latest, "totals": self._totals, "counts": self._counts}
        statistics = self.normalizer.arrays() if self.normalizer else {}
        return {
            **tree_items(self.state),
            **{f"metrics.{name}": leaf for name, leaf in metrics.items()},
            **statistics,
        }

    def manifest(self) -> dict[str, Any]:
        """Everything else that the agent is made of, as strict JSON."""
        return {
            "footlight": __version__,
            "algorithm": self.name,
            "config": dataclasses.asdict(self.config),
            "spaces": self.spaces.to_json(),
            "network": self.network_name,
            "seed": self.seed,
            "num_envs": self.num_envs,
            "num_updates": self.num_updates,
            "learned_at": self._learned_at,
            "compiled": self.compiled,
            "compile_later": self._compile_later,
            "keep_gradients": self.keeps_gradients,
            "streams": self.streams.positions(),
            "buffer": self.buffer.counters(),
        }

    @staticmethod
    @computes
    def load(
        path: str | Path, *, algorithm: Algorithm | None = None, network: Any = None, device: str = "cpu",
        total_steps: int | None = None, notice: Callable[[str], None] = warn,
    ) -> "Agent":  # fmt: skip
        """The agent saved at `path` (an agent's folder, a checkpoint, or a run folder), ready to go on. Raises `UserError`."""
        folder = checkpoint.find(Path(path), notice)
        manifest = checkpoint.read_manifest(folder)
        with checkpoint.as_user_error(folder):
            described_as = described(manifest, algorithm, network)
            agent = Agent.__new__(Agent)
            agent._set_up(
                manifest["algorithm"], *described_as, manifest["seed"], manifest["num_envs"], device, network,
                manifest.get("keep_gradients", False), notice,
            )  # fmt: skip
            agent._total_steps = total_steps
            agent.compiled, agent._compile_later = (
                bool(manifest["compiled"]),
                bool(manifest["compile_later"]),
            )
        agent.restore(folder)
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
            self.num_updates, self._learned_at = (
                int(manifest["num_updates"]),
                int(manifest["learned_at"]),
            )
            self.streams.restore(manifest["streams"])
        leaves = self._leaves()
        arrays = {name: as_array(leaf) for name, leaf in leaves.items()}
        max_bytes = sum(array.nbytes for array in arrays.values())
        checkpoint.copy_into(arrays, read("agent", max_bytes), folder)
        with checkpoint.as_user_error(folder):
            max_bytes = self.buffer.num_bytes + MAX_BYTES  # and what waits to get into it
            self.buffer.restore(read("buffer", max_bytes), manifest["buffer"])
        for (
            name,
            leaf,
        ) in leaves.items():  # a device's tensors are copies; on the CPU the arrays are the tensors
            if isinstance(leaf, Tensor) and leaf.device.type != "cpu":
                leaf.copy_(torch.from_numpy(arrays[name]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold the content of a checkpoint; your own network and algorithm are stored by class name."""
        return transport.reduce_agent(self)
