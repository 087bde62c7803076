"""A policy: what acts. It holds the actor's parameters and nothing that learns."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight import checkpoint
from footlight.algorithms import Algorithm, find
from footlight.config import build as build_config
from footlight.errors import UserError, warn
from footlight.networks.parameters import Network
from footlight.normalisation import Normaliser
from footlight.streams import derived_seed
from footlight.types import Array, Spaces


class Policy:
    """Observations in, actions in the environment's own units out."""

    def __init__(
        self, algorithm: Algorithm, config: Any, networks: Any, spaces: Spaces, policy_P: Tensor,
        normaliser: Normaliser | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.spaces = spaces
        self._algorithm, self._config, self._networks, self._parameters = algorithm, config, networks, policy_P
        self.normaliser, self.head = normaliser, getattr(networks, "head", None)
        self._stream = np.random.default_rng(seed)

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        """The action for one observation, or actions for a batch of them ([E, ...] in, [E, ...] out).

        `deterministic` takes the policy's mode, otherwise an action is sampled. Raises `UserError` for an observation of
        another shape than the policy was trained on.
        """
        batch = as_batch(observation, self.spaces)
        if self.normaliser is not None:
            batch = self.normaliser.observation(batch)
        stream = None if deterministic else self._stream
        actions = self.to_environment(self._algorithm.act(self._config, self._networks, self._parameters, batch, stream))
        return actions if np.ndim(observation) > len(self.spaces.observation_shape) else actions[0]

    def reseed(self, seed: int) -> None:
        """Draw samples from here on as a policy of this seed does."""
        self._stream = np.random.default_rng(seed)

    def player(self, seed: int, deterministic: bool = True) -> Callable[[Any], Any]:
        """What acts in one episode. Where it samples, the same seed gives the same actions for the same observations."""
        self.reseed(seed)
        return partial(self.act, deterministic=deterministic)

    def to_environment(self, drawn_EA: Array) -> Array:
        """Actions as drawn [E, A] -> the environment's own units and shape."""
        return self.spaces.action.to_environment(drawn_EA if self.head is None else self.head.to_unit(drawn_EA))

    def module(self) -> nn.Module:
        """A copy of the network that acts, with the policy's parameters in it."""
        network: Network = getattr(self._networks, self._algorithm.POLICY)
        return network.filled(self._parameters)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """`(action, state)`: the signature that Stable-Baselines3's tools call; `state` is passed through."""
        return self.act(observation, deterministic), state


def as_batch(observation: Any, spaces: Spaces) -> Array:
    """One observation or many as an array [E, *observation shape] in the stored dtype. Raises `UserError`."""
    array = np.asarray(observation, spaces.observation_dtype)
    if array.shape == spaces.observation_shape:
        return array[None]
    if array.shape[1:] != spaces.observation_shape or array.ndim == 0:
        raise UserError(
            f"the observation has shape {array.shape} - the policy wants {spaces.observation_shape}, or a batch of these"
        )
    return array


def load(path: str | Path, *, algorithm: Any = None, network: Any = None, seed: int = 0) -> Policy:
    """The policy saved in a run folder (its newest checkpoint), a checkpoint, or an agent's folder.

    Loads no optimiser and no buffer. `network` is the user's own network, `algorithm` the user's own method, where the run was
    made with one. `seed` is for sampling with `deterministic=False`. Raises `UserError`.
    """
    folder = checkpoint.find(Path(path), warn, ["policy"])
    return restore(folder, checkpoint.read_manifest(folder), algorithm, network, seed)


def restore(folder: Path, manifest: dict[str, Any], algorithm: Any, network: Any, seed: int = 0) -> Policy:
    """The policy of what was saved in `folder` with this manifest. Raises `UserError`."""
    with checkpoint.fitting(folder):
        method, config, spaces, networks = rebuild(manifest, algorithm, network)
    normaliser = make_normaliser(config, spaces, 1)
    mine = normaliser.policy_arrays() if normaliser is not None else {}
    acting = getattr(networks, method.POLICY)
    most_bytes = acting.initial.nbytes + sum(array.nbytes for array in mine.values())
    arrays = checkpoint.read_arrays(folder, "policy", most_bytes)
    if normaliser is not None:
        checkpoint.copy_into(mine, {name: arrays.pop(name) for name in mine if name in arrays}, folder)
    if wrong := [name for name, array in arrays.items() if array.dtype != np.float32]:
        raise UserError(f"{folder}: {wrong[0]} is {arrays[wrong[0]].dtype} - parameters are float32 - restore it from a copy")
    parameters_P = acting.flatten({name: torch.from_numpy(value) for name, value in arrays.items()})
    return Policy(method, config, networks, spaces, parameters_P, normaliser, seed)


def rebuild(manifest: dict[str, Any], algorithm: Any, network: Any) -> tuple[Algorithm, Any, Spaces, Any]:
    """Method, config, spaces and networks (with initial weights) of what was saved with this manifest. Raises `UserError`."""
    method, config, spaces = described(manifest, algorithm, network)
    return method, config, spaces, build_networks(method, config, spaces, network, int(manifest["seed"]))


def described(manifest: dict[str, Any], algorithm: Any, network: Any) -> tuple[Algorithm, Any, Spaces]:
    """Method, config and spaces of what was saved with this manifest. Raises `UserError`, also where its networks would have
    more parameters than its files hold: what a stranger has written is not given the memory that it asks for."""
    method = find(manifest["algorithm"] if algorithm is None else algorithm)
    config, spaces = build_config(method.Config, manifest["config"]), Spaces.from_json(manifest["spaces"])
    require_network(manifest, network)
    if network is None and algorithm is None:
        with torch.device("meta"):  # shapes without numbers
            networks = method.build(config, spaces)
        wanted = sum(4 * value.initial.numel() for value in vars(networks).values() if hasattr(value, "initial"))
        if wanted > manifest["files"][manifest["groups"]["agent"]]["bytes"]:
            raise UserError(f"its config describes networks of {wanted:,} bytes - its files hold fewer - restore it from a copy")
    return method, config, spaces


def make_normaliser(config: Any, spaces: Spaces, num_envs: int, sums_rewards: bool = False) -> Normaliser | None:
    """The statistics that a config asks for, None where it asks for none. `sums_rewards`: see `Normaliser`."""
    observations, rewards = (bool(getattr(config, f"normalize_{name}", False)) for name in ("observations", "rewards"))
    if not (observations or rewards):
        return None
    return Normaliser(
        spaces, num_envs, config.gamma, observations, rewards, getattr(config, "clip_normalized_reward", None), sums_rewards,
        getattr(config, "return_restarts_at_end", False),
    )  # fmt: skip


def build_networks(method: Algorithm, config: Any, spaces: Spaces, network: Any, seed: int) -> Any:
    """The networks with the initial weights of this seed; constants that a user's module draws are those of its training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "networks"))
        try:
            return method.build(config, spaces, network)
        except RuntimeError as error:
            if "allocate" not in str(error):
                raise
            raise UserError("the networks do not fit into memory - lower hidden_sizes") from error


def require_network(manifest: dict[str, Any], network: Any) -> None:
    """Raise `UserError` where a saved agent was made with the user's own network and none is given now."""
    if manifest.get("network") and network is None:
        raise UserError(f"this was trained with the network {manifest['network']!r} - pass it again as network=...")
