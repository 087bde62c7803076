"""Vector environments of tensors, as simulators on a GPU are, behind Gymnasium's interface.

mjlab, Isaac Lab, ManiSkill and environments of your own in torch take a tensor of actions and
return tensors of observations, rewards and flags. Policies act on the host: what a step returned
is moved there in one transfer, whatever it consists of.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from footlight.environments.autoreset import HasSingleSpaces, autoreset_mode
from footlight.environments.episodes import FIX
from footlight.environments.foreign import OfTensors, is_from
from footlight.environments.interface import InterfaceError, reset_answer, step_answer
from footlight.errors import UserError, warn
from footlight.trees import named_leaves
from footlight.types import Array

POLICY_GROUPS = ("policy", "actor")
"""Names of the observations of the policy, where there are others for the critic or for logs: in
Isaac Lab, in mjlab."""
FINAL = ("final_obs", "final_observation")  # in Gymnasium, in ManiSkill
_SAME_STEP = {
    ("ManagerBasedRLEnv", "isaaclab"),
    ("DirectRLEnv", "isaaclab"),
    ("ManagerBasedRlEnv", "mjlab"),
    ("ManiSkillVectorEnv", "mani_skill"),
}
"""Classes and packages that reset in the step of an end, and do not declare it."""
FINAL_PARTS = ("final_obs", "final_info")
"""What there is of the last step of an episode in the info of a step."""


@runtime_checkable
class _MayNotReset(Protocol):
    auto_reset: bool


@runtime_checkable
class _CanClose(Protocol):
    def close(self) -> object: ...


@runtime_checkable
class _HasParts(Protocol):
    spaces: Mapping[str, Any]


@runtime_checkable
class _HasBounds(Protocol):
    low: Any
    high: Any
    shape: Any
    dtype: Any


@runtime_checkable
class HoldsState(Protocol):
    """An environment whose next step depends on these tensors alone, by name: all that changes,
    with the state of its random generator."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return them."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> object:
        """Continue from them. They are on the CPU."""


class TensorEnvironments(OfTensors):
    """A vector environment of tensors.

    env: what is reset and stepped. plain: the same without wrappers, which has the attributes.
    """

    def __init__(self, env: Any, plain: Any) -> None:
        name, given = type(plain).__name__, plain
        if not isinstance(given, HasSingleSpaces):
            raise UserError(
                f"{name} has num_envs and a device, but no single_observation_space or no "
                "single_action_space - they say what one environment takes and returns - set both"
            )
        self.env, self.num_envs = env, int(plain.num_envs)
        self.device = torch.device(plain.device or "cpu")  # None in NumpyToTorch of Gymnasium
        self.metadata = {"autoreset_mode": _mode(plain, name)}
        spec = env.spec if isinstance(env, gymnasium.Env | VectorEnv) else None
        # Without an entry point: what the id makes is a single environment, or lacks wrappers
        self.spec = EnvSpec(name if spec is None else spec.id)
        observed = _as_space(plain.single_observation_space)
        parts = observed.spaces if isinstance(observed, gymnasium.spaces.Dict) else {}
        self.group = next((group for group in POLICY_GROUPS if group in parts), None)
        self.single_observation_space = observed if self.group is None else parts[self.group]
        self.single_action_space = _as_space(plain.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        _require_bounds(self.single_action_space, name)
        self.notify: Callable[[str], None] = warn
        self._is_reported = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in each environment, or in those of `options["reset_mask"]`."""
        if options is not None and "reset_mask" in options:
            if self.metadata["autoreset_mode"] != AutoresetMode.DISABLED:
                raise InterfaceError(
                    "an episode was cut off, and its environment cannot be reset alone",
                    "give its episodes a time limit",
                )
            options = {**options, "reset_mask": self._on_device(options["reset_mask"])}
        with torch.no_grad():
            observation, _ = reset_answer(self.env.reset(seed=seed, options=options))
        return _tree(self._on_host(self._observed("", observation)), ""), {}

    def step(self, actions: Array) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a step in each environment."""
        with torch.no_grad():
            answer = self.env.step(self._on_device(actions))
        observation, reward, terminated, truncated, info = step_answer(answer)
        returned = self._observed("observation", observation)
        final = next((info[name] for name in FINAL if name in info), None)
        if final is not None:
            returned |= self._observed("final_obs", final)
            returned |= _rows("final_info", info.get("final_info", {}), self.num_envs)
        returned |= {"reward": reward, "terminated": terminated, "truncated": truncated}
        host = self._on_host(returned)
        kept = {} if final is None else {name: _tree(host, name) for name in FINAL_PARTS}
        flags = host["terminated"], host["truncated"]
        return _tree(host, "observation"), host["reward"], *flags, kept

    def report_lost(self) -> None:
        """Say, once, what is done at time limits without the final observation."""
        if not self._is_reported:
            self._is_reported = True
            name = type(self.env).__name__
            self.notify(
                f"{name} gives no final_obs: where an episode is truncated, targets bootstrap from "
                "the observation before its last action "
                "(docs/environments.md#environments-of-tensors)"
            )

    def has_own_state(self) -> bool:
        """Whether it has `state_dict` and `load_state_dict`, as modules do."""
        return isinstance(self.env, HoldsState)

    def own_state(self) -> dict[str, Array]:
        """A copy of its state, by name. Raises `UserError` for anything but tensors."""
        state = self.env.state_dict()
        for name, value in state.items():
            if not isinstance(value, Tensor):
                raise UserError(
                    f"state_dict of {type(self.env).__name__} has a {type(value).__name__} at "
                    f"{name!r} - checkpoints hold tensors - make it one"
                )
        return {name: as_array(value.cpu()).copy() for name, value in state.items()}

    def load_own_state(self, arrays: Mapping[str, Array]) -> None:
        """Continue from what `own_state` returned."""
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.env.load_state_dict(tensors)

    def close(self, **kwargs: Any) -> None:
        """Close the environment, if it can be closed."""
        if isinstance(self.env, _CanClose):
            self.env.close()

    def _observed(self, name: str, observation: Any) -> dict[str, Any]:
        """The leaves of what the policy observes, by name."""
        if self.group is not None:
            if not isinstance(observation, Mapping) or self.group not in observation:
                raise InterfaceError(
                    f"the observation has no part {self.group!r}, which its space has", FIX
                )
            observation = observation[self.group]
        return _leaves(name, observation)

    def _on_device(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _on_host(self, returned: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays in the place of tensors. On the CPU they share the memory of these."""
        tensors: dict[str, Tensor] = {}
        for name, value in returned.items():
            if isinstance(value, Tensor) and value.device.type != "cpu":
                if value.device.type != self.device.type:
                    raise InterfaceError(
                        f"{name or 'the observation'} is on the device {value.device}, the "
                        f"environment on {self.device}", "return tensors of its own device",
                    )  # fmt: skip
                tensors[name] = value
        moved = dict(zip(tensors, in_one_transfer(list(tensors.values())), strict=True))
        return {
            name: moved[name] if name in moved else as_array(value)
            for name, value in returned.items()
        }


def in_one_transfer(tensors: Sequence[Tensor]) -> list[Array]:
    """The same numbers as arrays on the host, moved there as the bytes of one tensor."""
    if not tensors:
        return []
    plain = [_supported(tensor).contiguous() for tensor in tensors]
    parts = [tensor.reshape(-1).view(torch.uint8) for tensor in plain]
    packed, arrays, start = torch.cat(parts).cpu().numpy(), [], 0
    for tensor, part in zip(plain, parts, strict=True):
        dtype = torch.empty(0, dtype=tensor.dtype, device="cpu").numpy().dtype
        end = start + len(part)
        arrays.append(packed[start:end].view(dtype).reshape(tensor.shape))
        start = end
    return arrays


def as_array(value: Any) -> Any:
    """A tensor on the CPU as an array that shares its memory; anything else as it is."""
    return _supported(value).numpy() if isinstance(value, Tensor) else value


def _supported(tensor: Tensor) -> Tensor:
    """Without gradient, and not in bfloat16, which NumPy does not know."""
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype is torch.bfloat16 else tensor


def _leaves(name: str, value: Any) -> dict[str, Any]:
    leaves = named_leaves(value).items()
    return {f"{name}.{leaf}".strip("."): part for leaf, part in leaves}


def _tree(host: Mapping[str, Array], name: str) -> Any:
    """The leaf of this name, or the leaves under it by the rest of their names."""
    if name in host:
        return host[name]
    return {leaf.removeprefix(f"{name}."): host[leaf] for leaf in host if leaf.startswith(name)}


def _rows(name: str, info: Any, num_envs: int) -> dict[str, Any]:
    """The leaves of an info that have a number for each environment."""
    leaves = _leaves(name, info) if isinstance(info, Mapping) else {}
    return {
        leaf: value
        for leaf, value in leaves.items()
        if isinstance(value, Tensor | np.ndarray) and value.shape == (num_envs,)
    }


def _mode(plain: Any, name: str) -> AutoresetMode:
    """When it resets: as its library does, or as it declares. Raises `UserError`."""
    if isinstance(plain, _MayNotReset) and not plain.auto_reset:
        raise UserError(
            f"{name} has auto_reset {plain.auto_reset} - environments whose episode has ended "
            "would never be reset - make it with auto_reset=True"
        )
    if any(is_from(plain, *known) for known in _SAME_STEP):
        return AutoresetMode.SAME_STEP
    return autoreset_mode(plain)


def _as_space(space: Any) -> gymnasium.Space[Any]:
    """A space as one of Gymnasium's; mjlab has its own."""
    if isinstance(space, gymnasium.Space):
        return space
    if isinstance(space, _HasBounds):
        dtype = np.dtype(space.dtype)
        bounds = (np.asarray(bound, dtype) for bound in (space.low, space.high))
        low, high = (np.broadcast_to(bound, space.shape) for bound in bounds)
        return gymnasium.spaces.Box(low, high, dtype=dtype.type)
    if isinstance(space, _HasParts):
        return gymnasium.spaces.Dict({key: _as_space(part) for key, part in space.spaces.items()})
    raise UserError(f"{space!r:.80} is not a space - use those of gymnasium.spaces")


def _require_bounds(space: gymnasium.Space[Any], name: str) -> None:
    """Raise `UserError` for actions without bounds, as those of mjlab and Isaac Lab are."""
    if isinstance(space, gymnasium.spaces.Box) and not space.is_bounded():
        raise UserError(
            f"the actions of {name} have no bounds - those of a policy lie within bounds - set "
            f"env.unwrapped.single_action_space = gymnasium.spaces.Box(-1, 1, {space.shape})"
        )
