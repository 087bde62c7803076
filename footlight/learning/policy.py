"""A policy: what acts. It holds the actor's parameters and nothing that learns."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.protocol import PolicyState, Remembering, Wrapping
from footlight.ambient import computes
from footlight.errors import UserError, warn
from footlight.learning import transport
from footlight.learning.blueprint import AnyAlgorithm, Blueprint, read_blueprint
from footlight.learning.compilation import compile_checked
from footlight.learning.normalization import Normalizer, make_normalizer
from footlight.learning.observations import as_batch, is_batch
from footlight.networks.flat import Network
from footlight.storage import checkpoint
from footlight.trees import leaves_of, tree_items, tree_rebuilt
from footlight.types import Array


class Policy:
    """A trained policy: maps observations to actions in the environment's own units."""

    def __init__(
        self, algorithm: AnyAlgorithm, blueprint: Blueprint, state: PolicyState,
        normalizer: Normalizer | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.algorithm, self.blueprint, self.state = algorithm, blueprint, state
        self.spaces, self.normalizer = blueprint.spaces, normalizer
        self.head = algorithm.networks.head
        self.stream = np.random.default_rng(seed)
        self._remembering = algorithm if isinstance(algorithm, Remembering) else None
        self._memory: tuple[int, Any] = 0, None  # for how many environments, and what

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        """The action for one observation, or actions [E, ...] for a batch of them.

        `deterministic` takes the policy's mode, otherwise an action is sampled. A policy with a
        memory remembers from call to call: `reset` it where episodes begin. Raises `UserError` for
        an observation of another shape than the policy was trained on, or that is not finite.
        """
        batch = self._batch(observation)
        if self._memory[0] != len(batch):
            self._memory = len(batch), self.new_memory(len(batch))
        actions, memory = self._act(batch, self._memory[1], deterministic)
        self._memory = self._memory[0], memory
        return actions if is_batch(observation, self.spaces) else actions[0]

    def _batch(self, observation: Any) -> Array:
        batch = as_batch(observation, self.spaces)
        return batch if self.normalizer is None else self.normalizer.observation(batch)

    def _act(self, batch: Array, memory: Any, deterministic: bool) -> tuple[Array, Any]:
        stream = None if deterministic else self.stream
        decision, memory = self.algorithm.act(self.state, memory, batch, stream)
        return self.to_environment(decision.action), memory

    def reset(self, episode_start: Array | None = None) -> None:
        """Forget what was remembered of earlier episodes: in the environments of the mask [E], or
        everywhere."""
        num_envs, memory = self._memory
        if episode_start is None:
            self._memory = 0, None
        else:
            self._memory = num_envs, self.reset_memory(memory, np.asarray(episode_start, bool))

    def new_memory(self, num_envs: int) -> Any:
        """The acting memory at the beginning of episodes; None for an algorithm without one."""
        return None if self._remembering is None else self._remembering.memory(num_envs)

    def reset_memory(self, memory: Any, starts_E: Array) -> Any:
        """A copy of the memory, reset in the environments of the mask, where episodes begin."""
        if memory is None:
            return None
        fresh, leaves = tree_items(self.new_memory(len(starts_E))), tree_items(memory)
        for name, leaf in leaves.items():
            leaves[name] = leaf.copy()
            leaves[name][starts_E] = fresh[name][starts_E]
        return tree_rebuilt(memory, leaves)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """`(action, state)`: the signature that Stable-Baselines3's tools call. `state` is the
        memory of a policy that has one, and passed through by others."""
        if self._remembering is None:
            return self.act(observation, deterministic), state
        batch = self._batch(observation)
        memory = self.new_memory(len(batch)) if state is None else state
        if episode_start is not None:
            memory = self.reset_memory(memory, np.asarray(episode_start, bool).reshape(-1))
        actions, memory = self._act(batch, memory, deterministic)
        return actions if is_batch(observation, self.spaces) else actions[0], memory

    def reseed(self, seed: int) -> None:
        """Draw samples from here on as a policy of this seed does."""
        self.stream = np.random.default_rng(seed)

    def player(self, seed: int, deterministic: bool = True) -> Callable[[Any], Any]:
        """A function from observations to actions, for one episode. Where it samples, the same seed
        gives the same actions for the same observations."""
        self.reseed(seed)
        self.reset()
        return partial(self.act, deterministic=deterministic)

    @property
    def is_worth_compiling(self) -> bool:
        """Whether the network sees images, on a CPU: there acting costs half as much as
        learning."""
        on_images: bool = self.algorithm.networks.policy.on_images
        return on_images and self.state.parameters.device.type == "cpu"

    @computes
    def compile(self, num_envs: int, announce: Callable[[], None] = lambda: None) -> None:
        """Compile acting in so many environments. Does nothing unless it
        `is_worth_compiling`.

        announce: is called before the compiler is. Raises `CompilerMissing`.
        """
        if not self.is_worth_compiling:
            return
        network, parameters_P = self.algorithm.networks.policy, self.state.parameters
        shape = num_envs, *self.spaces.observation_shape
        example = self._batch(np.zeros(shape, np.dtype(self.spaces.observation_dtype)))
        for leaf in leaves_of(example).values():  # not zeros, as the results are compared
            numbers = np.arange(leaf.size) % (2 if leaf.dtype.kind == "i" else 251)
            leaf[...] = numbers.reshape(leaf.shape)
        compiler = partial(compile_checked, announce=announce)
        network.compile_infer(parameters_P, example, compiler)

    def to_environment(self, drawn_EA: Array) -> Array:
        """Actions as drawn [E, A] -> the environment's own units and shape."""
        return self.spaces.action.to_environment(self.head.to_unit(drawn_EA))

    def from_environment(self, action: Array) -> Array:
        """Actions in the environment's own units [E, *action shape] -> as if drawn [E, A]."""
        return self.head.from_unit(self.spaces.action.from_environment(action))

    @computes
    def module(self) -> nn.Module:
        """A copy of the network that acts, with the policy's parameters in it.

        For your own network this is a copy of your class, with your own `state_dict` keys: your
        whole module for the on-policy algorithms, its `actor` for the off-policy ones, whose
        policies have no critic. A learned `log_std` that footlight added is not included.
        """
        module = self.acting_module()
        own = module.user_module if isinstance(module, Wrapping) else None
        return module if own is None else own

    def acting_module(self) -> nn.Module:
        """Like `module`, with what footlight adds: its outputs are those that the action head
        expects."""
        return self.algorithm.networks.policy.to_module(*self.state)

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold, by the names of the module's `state_dict`."""
        views = self.algorithm.networks.policy.named_state(*self.state)
        arrays = {name: transport.as_array(view) for name, view in views.items()}
        return arrays | (self.normalizer.policy_arrays() if self.normalizer else {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold only names and arrays; networks are rebuilt, your own from the
        class that you passed."""
        views = self.algorithm.networks.policy.named_state(*self.state)
        named = {name: transport.as_array(view) for name, view in views.items()}
        return _rebuild_policy, (self.blueprint, named, self.normalizer, self.stream)


def _rebuild_policy(
    blueprint: Blueprint, named: dict[str, Array], normalizer: Normalizer | None,
    stream: np.random.Generator,
) -> Policy:  # fmt: skip
    """The inverse of `Policy.__reduce__`."""
    bound = blueprint.build()
    # `copy.copy` passes what is the original's
    tensors = {name: torch.tensor(array) for name, array in named.items()}
    state = PolicyState(*bound.networks.policy.flatten_state(tensors))
    policy = Policy(bound, blueprint, state, copy.deepcopy(normalizer))
    policy.stream = copy.deepcopy(stream)
    return policy


def load(path: str | Path, *, algorithm: Any = None, network: Any = None, seed: int = 0) -> Policy:
    """The policy saved in a run folder (its newest checkpoint), a checkpoint, or an agent's folder.

    Loads no optimizer and no buffer. algorithm, network: your own, where the run was made with one.
    seed: of the actions that are sampled with `deterministic=False`. Raises `UserError`.
    """
    folder = checkpoint.find(Path(path), warn, ["policy"])
    return restore(folder, checkpoint.read_manifest(folder), algorithm, network, seed)


@computes
def restore(
    folder: Path, manifest: dict[str, Any], algorithm: Any, network: Any, seed: int = 0
) -> Policy:
    """The policy of what was saved in `folder` with this manifest. Raises `UserError`."""
    with checkpoint.as_user_error(folder):
        blueprint = read_blueprint(manifest, algorithm, network)
        bound = blueprint.build()
    normalizer = make_normalizer(blueprint.config, blueprint.spaces, 1)
    mine = normalizer.policy_arrays() if normalizer is not None else {}
    acting = bound.networks.policy
    state = acting.initial, acting.initial_statistics
    max_bytes = sum(part.nbytes for part in state if part is not None)
    max_bytes += sum(array.nbytes for array in mine.values())
    arrays = checkpoint.read_arrays(folder, "policy", max_bytes)
    if normalizer is not None:
        checkpoint.copy_into(
            mine, {name: arrays.pop(name) for name in mine if name in arrays}, folder
        )
    wrong = [name for name, array in arrays.items() if array.dtype != np.float32]
    if wrong and isinstance(acting, Network):
        raise UserError(
            f"{folder}: {wrong[0]} is {arrays[wrong[0]].dtype} - parameters are float32 - "
            "restore it from a copy"
        )
    named: dict[str, Tensor] = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return Policy(bound, blueprint, PolicyState(*acting.flatten_state(named)), normalizer, seed)
