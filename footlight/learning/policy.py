"""A policy: what acts. It holds the actor's parameters and nothing that learns."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms import Algorithm, find
from footlight.ambient import computes
from footlight.config.fields import build as build_config
from footlight.errors import UserError, warn
from footlight.learning import transport
from footlight.learning.normalization import Normalizer
from footlight.networks.flat import Network
from footlight.storage import checkpoint
from footlight.streams import derived_seed
from footlight.types import Array, Spaces


class Policy:
    """Observations in, actions in the environment's own units out."""

    def __init__(
        self, algorithm: Algorithm, config: Any, networks: Any, spaces: Spaces, policy_P: Tensor,
        normalizer: Normalizer | None = None, seed: int = 0, *, network: Any = None, network_seed: int = 0,
    ) -> None:  # fmt: skip
        self.spaces = spaces
        self.network, self.network_seed = (
            network,
            network_seed,
        )  # the user's class and its seed, to rebuild it in another process
        self._algorithm, self._config, self._networks, self._parameters = (
            algorithm,
            config,
            networks,
            policy_P,
        )
        self.normalizer, self.head = normalizer, getattr(networks, "head", None)
        self.stream = np.random.default_rng(seed)

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        """The action for one observation, or actions for a batch of them ([E, ...] in, [E, ...] out).

        `deterministic` takes the policy's mode, otherwise an action is sampled. Raises `UserError` for an observation of
        another shape than the policy was trained on.
        """
        batch = as_batch(observation, self.spaces)
        if self.normalizer is not None:
            batch = self.normalizer.observation(batch)
        stream = None if deterministic else self.stream
        actions = self.to_environment(
            self._algorithm.act(self._config, self._networks, self._parameters, batch, stream)
        )
        return actions if np.ndim(observation) > len(self.spaces.observation_shape) else actions[0]

    def reseed(self, seed: int) -> None:
        """Draw samples from here on as a policy of this seed does."""
        self.stream = np.random.default_rng(seed)

    def player(self, seed: int, deterministic: bool = True) -> Callable[[Any], Any]:
        """What acts in one episode. Where it samples, the same seed gives the same actions for the same observations."""
        self.reseed(seed)
        return partial(self.act, deterministic=deterministic)

    def to_environment(self, drawn_EA: Array) -> Array:
        """Actions as drawn [E, A] -> the environment's own units and shape."""
        return self.spaces.action.to_environment(
            drawn_EA if self.head is None else self.head.to_unit(drawn_EA)
        )

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
        network: Network = getattr(self._networks, self._algorithm.POLICY)
        return network.filled(self._parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold only names and arrays; networks are rebuilt, your own from the class that you passed."""
        return _rebuild_policy, (
            transport.by_name(self._algorithm), asdict(self._config), self.spaces, self.network, self.network_seed,
            self._parameters.cpu().numpy(), self.normalizer, self.stream,
        )  # fmt: skip

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """`(action, state)`: the signature that Stable-Baselines3's tools call; `state` is passed through."""
        return self.act(observation, deterministic), state


def _rebuild_policy(
    algorithm: Any, config: dict[str, Any], spaces: Spaces, network: Any, network_seed: int, parameters_P: Array,
    normalizer: Normalizer | None, stream: np.random.Generator,
) -> Policy:  # fmt: skip
    """The inverse of `Policy.__reduce__`."""
    method = transport.from_name(algorithm)
    settings = build_config(method.Config, config)
    networks = build_networks(method, settings, spaces, network, network_seed)
    own = (
        copy.deepcopy(normalizer),
        copy.deepcopy(stream),
    )  # `copy.copy` passes those of the original
    built = {"network": network, "network_seed": network_seed}
    policy = Policy(method, settings, networks, spaces, torch.tensor(parameters_P), own[0], **built)
    policy.stream = own[1]
    return policy


MAX_SUMMED_SIZE = 32  # up to this size Python's sum is faster than NumPy's isfinite


def as_batch(observation: Any, spaces: Spaces) -> Array:
    """Convert one observation or a batch to an array [E, *observation shape] in the stored dtype.

    Raises `UserError` for another shape, for NaN and infinity, and for numbers that an integer space cannot hold: what
    training refuses from an environment.
    """
    try:
        array = np.asarray(observation)
    except ValueError as error:
        raise UserError(
            f"the observation is not an array - {error} - pass numbers of one shape"
        ) from error
    if array.dtype != spaces.observation_dtype:
        array = _as_stored(array, np.dtype(spaces.observation_dtype))
    if array.shape == spaces.observation_shape:
        array = array[None]
    elif array.shape[1:] != spaces.observation_shape or array.ndim == 0:
        raise UserError(
            f"the observation has shape {array.shape} - the policy wants {spaces.observation_shape}, or a batch of these"
        )
    if array.dtype.kind == "f" and not _all_finite(array):
        index = np.argwhere(~np.isfinite(array))[0]
        shown = index if np.ndim(observation) == array.ndim else index[1:]
        component = f"observation[{', '.join(map(str, shown))}]"
        raise UserError(
            f"{component} is {array[tuple(index)]} - the policy needs finite float32 numbers - check its source"
        )
    return array


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
        method, config, spaces, networks = rebuild(manifest, algorithm, network)
    normalizer = make_normalizer(config, spaces, 1)
    mine = normalizer.policy_arrays() if normalizer is not None else {}
    acting = getattr(networks, method.POLICY)
    max_bytes = acting.initial.nbytes + sum(array.nbytes for array in mine.values())
    arrays = checkpoint.read_arrays(folder, "policy", max_bytes)
    if normalizer is not None:
        checkpoint.copy_into(
            mine, {name: arrays.pop(name) for name in mine if name in arrays}, folder
        )
    if wrong := [name for name, array in arrays.items() if array.dtype != np.float32]:
        raise UserError(
            f"{folder}: {wrong[0]} is {arrays[wrong[0]].dtype} - parameters are float32 - restore it from a copy"
        )
    parameters_P = acting.flatten({name: torch.from_numpy(value) for name, value in arrays.items()})
    built = {"network": network, "network_seed": int(manifest["seed"])}
    return Policy(method, config, networks, spaces, parameters_P, normalizer, seed, **built)


def rebuild(
    manifest: dict[str, Any], algorithm: Any, network: Any
) -> tuple[Algorithm, Any, Spaces, Any]:
    """Method, config, spaces and networks (with initial weights) of what was saved with this manifest. Raises `UserError`."""
    method, config, spaces = described(manifest, algorithm, network)
    return (
        method,
        config,
        spaces,
        build_networks(method, config, spaces, network, int(manifest["seed"])),
    )


def described(
    manifest: dict[str, Any], algorithm: Any, network: Any
) -> tuple[Algorithm, Any, Spaces]:
    """Method, config and spaces of what was saved with this manifest. Raises `UserError`, also where its networks would have
    more parameters than its files hold: what a stranger has written is not given the memory that it asks for."""
    method = find(manifest["algorithm"] if algorithm is None else algorithm)
    config, spaces = (
        build_config(method.Config, manifest["config"]),
        Spaces.from_json(manifest["spaces"]),
    )
    require_network(manifest, network)
    if network is None and algorithm is None:
        networks = describe_networks(method, config, spaces)
        wanted = sum(
            4 * value.initial.numel()
            for value in vars(networks).values()
            if hasattr(value, "initial")
        )
        if wanted > manifest["files"][manifest["groups"]["agent"]]["bytes"]:
            raise UserError(
                f"its config describes networks of {wanted:,} bytes - its files hold fewer - restore it from a copy"
            )
    return method, config, spaces


def describe_networks(method: Algorithm, config: Any, spaces: Spaces) -> Any:
    """Build the networks on the meta device, for their shapes."""
    with torch.device("meta"):
        return method.build(config, spaces)


def make_normalizer(
    config: Any, spaces: Spaces, num_envs: int, sums_rewards: bool = False
) -> Normalizer | None:
    """The running statistics that a config needs; None if it needs none. `sums_rewards`: see `Normalizer`."""
    observations, rewards = (
        bool(getattr(config, f"normalize_{name}", False)) for name in ("observations", "rewards")
    )
    if not (observations or rewards):
        return None
    return Normalizer(
        spaces, num_envs, config.gamma, observations, rewards, getattr(config, "clip_normalized_reward", None), sums_rewards,
        getattr(config, "return_restarts_at_end", False),
    )  # fmt: skip


def build_networks(method: Algorithm, config: Any, spaces: Spaces, network: Any, seed: int) -> Any:
    """The networks with the initial weights of this seed; constants that a user's module draws are those of its training."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, "networks"))  # and no GPU's
        try:
            return method.build(config, spaces, network)
        except RuntimeError as error:
            if "allocate" not in str(error):
                raise
            raise UserError("the networks do not fit into memory - lower hidden_sizes") from error


def require_network(manifest: dict[str, Any], network: Any) -> None:
    """Raise `UserError` where a saved agent was made with the user's own network and none is given now."""
    if manifest.get("network") and network is None:
        raise UserError(
            f"this was trained with the network {manifest['network']!r} - pass it again as network=..."
        )
