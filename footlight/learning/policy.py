"""A policy: what acts. It holds the actor's parameters and nothing that learns."""

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.protocol import AnyAlgorithm, PolicyState, Remembering
from footlight.ambient import computes
from footlight.errors import UserError, warn
from footlight.learning import transport
from footlight.learning.blueprint import Blueprint, read_blueprint
from footlight.learning.normalization import Normalizer, make_normalizer
from footlight.storage import checkpoint
from footlight.trees import named_leaves, packed, tree_items, tree_rebuilt
from footlight.types import Array, Spaces


class Policy:
    """Observations in, actions in the environment's own units out."""

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
        """The action for one observation, or actions for a batch of them ([E, ...] in, [E, ...] out).

        `deterministic` takes the policy's mode, otherwise an action is sampled. A policy with a
        memory remembers from call to call: `reset` it where episodes begin. Raises `UserError` for
        an observation of another shape than the policy was trained on.
        """
        batch = self._batch(observation)
        if self._remembering is not None and self._memory[0] != len(batch):
            self._memory = len(batch), self._remembering.memory(len(batch))
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
        if self._remembering is None:
            return
        num_envs, memory = self._memory
        if episode_start is None:
            self._memory = 0, None
        elif memory is not None:
            self._memory = num_envs, self._begun(memory, num_envs, episode_start)

    def _begun(self, memory: Any, num_envs: int, episode_start: Array) -> Any:
        """The memory, as it is at the beginning of an episode in the environments of the mask."""
        assert self._remembering is not None
        fresh, leaves = tree_items(self._remembering.memory(num_envs)), tree_items(memory)
        for name, leaf in leaves.items():
            mask = np.reshape(episode_start, (-1, *[1] * (leaf.ndim - 1)))
            leaves[name] = np.where(mask, fresh[name], leaf)
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
        memory = self._remembering.memory(len(batch)) if state is None else state
        if episode_start is not None:
            memory = self._begun(memory, len(batch), np.asarray(episode_start, bool).reshape(-1))
        actions, memory = self._act(batch, memory, deterministic)
        return actions if is_batch(observation, self.spaces) else actions[0], memory

    def reseed(self, seed: int) -> None:
        """Draw samples from here on as a policy of this seed does."""
        self.stream = np.random.default_rng(seed)

    def player(self, seed: int, deterministic: bool = True) -> Callable[[Any], Any]:
        """What acts in one episode. Where it samples, the same seed gives the same actions for the same observations."""
        self.reseed(seed)
        self.reset()
        return partial(self.act, deterministic=deterministic)

    def to_environment(self, drawn_EA: Array) -> Array:
        """Actions as drawn [E, A] -> the environment's own units and shape."""
        return self.spaces.action.to_environment(self.head.to_unit(drawn_EA))

    @computes
    def module(self) -> nn.Module:
        """A copy of the network that acts, with the policy's parameters in it.

        For your own network this is a copy of your class, with your own `state_dict` keys: your whole module for the on-policy
        algorithms, its `actor` for the off-policy ones, whose policies have no critic. A learned `log_std` that footlight added
        is not included.
        """
        module = self.acting_module()
        own: nn.Module | None = getattr(module, "user_module", None)
        return module if own is None else own

    def acting_module(self) -> nn.Module:
        """Like `module`, with what footlight adds: its outputs are those that the action head expects."""
        return self.algorithm.networks.policy.filled(*self.state)

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold, by the names of the module's `state_dict`."""
        views = self.algorithm.networks.policy.named_state(*self.state)
        arrays = {name: transport.as_array(view) for name, view in views.items()}
        return arrays | (self.normalizer.policy_arrays() if self.normalizer else {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold only names and arrays; networks are rebuilt, your own from the class that you passed."""
        state = [None if part is None else part.cpu().numpy() for part in self.state]
        return _rebuild_policy, (self.blueprint, state, self.normalizer, self.stream)


def _rebuild_policy(
    blueprint: Blueprint, state: list[Array | None], normalizer: Normalizer | None,
    stream: np.random.Generator,
) -> Policy:  # fmt: skip
    """The inverse of `Policy.__reduce__`."""
    transport.after_fork()
    tensors: list[Any] = [None if part is None else torch.tensor(part) for part in state]
    # `copy.copy` passes those of the original
    policy = Policy(blueprint.build(), blueprint, PolicyState(*tensors), copy.deepcopy(normalizer))
    policy.stream = copy.deepcopy(stream)
    return policy


MAX_SUMMED_SIZE = 32  # up to this size Python's sum is faster than NumPy's isfinite


def as_batch(observation: Any, spaces: Spaces) -> Array:
    """Convert one observation or a batch to an array [E, *observation shape] in the stored dtype;
    those of a Dict or Tuple space, as dicts or tuples of arrays, to records [E].

    Raises `UserError` for another shape, for NaN and infinity, and for numbers that an integer space cannot hold: what
    training refuses from an environment.
    """
    if spaces.has_leaves:
        return _as_records(observation, spaces)
    return _as_array(observation, spaces.observation_shape, np.dtype(spaces.observation_dtype))


def _as_array(
    observation: Any, wanted: tuple[int, ...], dtype: np.dtype[Any], what: str = "observation"
) -> Array:
    try:
        if isinstance(observation, torch.Tensor):
            observation = observation.detach().cpu()
        array = np.asarray(observation)
    except ValueError as error:
        raise UserError(
            f"the {what} is not an array - {error} - pass numbers of one shape"
        ) from error
    if array.dtype != dtype:
        array = _as_stored(array, dtype)
    if array.shape == wanted:
        array = array[None]
    elif array.shape[1:] != wanted or array.ndim == 0:
        raise UserError(
            f"the {what} has shape {array.shape} - the policy wants {wanted}, or a batch of these"
        )
    if array.dtype.kind == "f" and not _all_finite(array):
        index = np.argwhere(~np.isfinite(array))[0]
        shown = index if np.ndim(observation) == array.ndim else index[1:]
        component = f"{what}[{', '.join(map(str, shown))}]"
        raise UserError(
            f"{component} is {array[tuple(index)]} - the policy needs finite float32 numbers - "
            "check its source"
        )
    return array


def _as_records(observation: Any, spaces: Spaces) -> Array:
    """Records [E] of one observation or of a batch, of which records are returned as they are."""
    dtype = np.dtype(spaces.observation_dtype)
    if isinstance(observation, np.ndarray) and observation.dtype == dtype:
        return observation.reshape(-1)
    given, leaves = named_leaves(observation), spaces.observation
    if given.keys() != leaves.keys():
        found, wanted = (", ".join(map(repr, names)) or "none" for names in (given, leaves))
        raise UserError(
            f"the observation has the parts {found} - the policy wants {wanted} - pass it as the "
            "environment gives it"
        )
    arrays = {
        name: _as_array(given[name], leaf.shape, np.dtype(leaf.dtype), f"observation's part {name}")
        for name, leaf in leaves.items()
    }
    try:
        return np.asarray(packed(arrays, dtype, (len(next(iter(arrays.values()))),)))
    except ValueError as error:
        raise UserError(f"the observation's parts do not belong together - {error}") from error


def is_batch(observation: Any, spaces: Spaces) -> bool:
    """Whether these are observations [E, ...], and not a single one."""
    if not spaces.has_leaves:
        return np.ndim(observation) > len(spaces.observation_shape)
    if isinstance(observation, np.ndarray | np.void):
        return observation.ndim > 0
    name, leaf = next(iter(spaces.observation.items()))
    return np.ndim(named_leaves(observation)[name]) > len(leaf.shape)


def _all_finite(array: Array) -> bool:
    """Whether no float32 number is NaN or infinite. In float64 the sum of finite ones cannot overflow."""
    if array.size <= MAX_SUMMED_SIZE:
        return math.isfinite(sum(array.ravel().tolist()))
    return np.count_nonzero(np.isfinite(array)) == array.size  # in half the time that `all` takes


def _as_stored(array: Array, dtype: np.dtype[Any]) -> Array:
    """Convert to the stored dtype. Raises `UserError` if it cannot represent the numbers."""
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"the observation has dtype {array.dtype} - the policy needs numbers of {dtype} - convert it first"
        )
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # a number too large for float32 becomes infinite, which is refused
        stored = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(stored, array):
        index = tuple(np.argwhere(stored != array)[0])
        component = f"observation[{', '.join(map(str, index))}]"
        raise UserError(
            f"{component} is {array[index]} - the policy's observations are {dtype} - pass them as trained on"
        )
    return stored


def load(path: str | Path, *, algorithm: Any = None, network: Any = None, seed: int = 0) -> Policy:
    """The policy saved in a run folder (its newest checkpoint), a checkpoint, or an agent's folder.

    Loads no optimizer and no buffer. `network` is the user's own network, `algorithm` the user's own method, where the run was
    made with one. `seed` is for sampling with `deterministic=False`. Raises `UserError`.
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
    if wrong := [name for name, array in arrays.items() if array.dtype != np.float32]:
        raise UserError(
            f"{folder}: {wrong[0]} is {arrays[wrong[0]].dtype} - parameters are float32 - restore it from a copy"
        )
    named: dict[str, Tensor] = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return Policy(bound, blueprint, PolicyState(*acting.flatten_state(named)), normalizer, seed)
