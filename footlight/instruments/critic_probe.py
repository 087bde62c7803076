"""What an agent makes of the states of an episode: its critic's values and its policy; and the returns to compare with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms import Algorithm
from footlight.ambient import computes
from footlight.equations.optimizers import make_room_for_gradients
from footlight.errors import UserError, warn
from footlight.learning.normalization import Normalizer
from footlight.learning.policy import as_batch, make_normalizer, rebuild
from footlight.storage import checkpoint
from footlight.storage.files import MAX_BYTES
from footlight.trees import tree_items
from footlight.types import Array, Assessment, Spaces


class Assessor:
    """Asks a method's `assess` about one observation at a time; `state` and `normalizer` may go on changing.

    Raises `UserError` for a method that has no `assess`.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        config: Any,
        networks: Any,
        spaces: Spaces,
        state: Any,
        normalizer: Normalizer | None,
    ) -> None:
        if not hasattr(algorithm, "assess"):
            raise UserError(
                f"{algorithm!r} has no values to overlay - it lacks the function assess - see footlight.algorithms.Assessing, "
                "or leave the overlay out"
            )
        self.spaces, self.gamma = spaces, float(config.gamma)
        self._algorithm: Any = algorithm
        self._config, self._networks, self._state, self._normalizer = (
            config,
            networks,
            state,
            normalizer,
        )
        self._device = getattr(state, algorithm.POLICY).device
        self._clip = getattr(config, "clip_reward", None)

    @computes
    def __call__(self, observation: Any) -> Assessment:
        """The assessment of one observation, as arrays without the axis E."""
        batch = as_batch(observation, self.spaces)
        if self._normalizer is not None:
            batch = self._normalizer.observation(batch)
        with torch.no_grad():
            tensor = torch.tensor(np.ascontiguousarray(batch), device=self._device)
            found: Assessment = self._algorithm.assess(
                self._config, self._networks, self._state, tensor
            )
        return Assessment(*(None if part is None else part[0].cpu().numpy() for part in found))

    @property
    def units(self) -> str:
        """Of values and returns, in words."""
        clip = "" if self._clip is None else f" cut off at ±{self._clip:g},"
        scale = "" if self._reward_scale == 1 else f" × {self._reward_scale:.3g},"
        return f"rewards{clip}{scale} discounted by γ = {self.gamma:g}"

    @property
    def _reward_scale(self) -> float:
        return 1.0 if self._normalizer is None else float(self._normalizer.reward_scale[0])

    def returns(
        self,
        rewards: Sequence[float],
        assessments: Sequence[Assessment],
        terminated: bool,
        life_lost: Sequence[bool] | None = None,
    ) -> list[float]:
        """The discounted return that followed each of T + 1 states, from T raw rewards, in the units of the critic's values.

        G_t = r_t + gamma * (bonus_{t+1} + G_{t+1}) with rewards cut off and scaled as the critic learns from them. After the last
        state nothing follows where the episode `terminated`; where it was cut short the critic's value stands for what would have
        followed (0 without a critic). `life_lost` says of each reward whether it came with the loss of a life that was an end for
        the critic: nothing follows it.
        """
        ends = reversed(life_lost or [False] * len(rewards))
        last = assessments[-1]
        following = 0.0 if terminated else _number(last.value)
        bonus = 0.0 if terminated else _number(last.bonus)
        returns = [following]
        for reward, assessment, ended in zip(
            reversed(rewards), reversed(assessments[:-1]), ends, strict=True
        ):
            clipped = reward if self._clip is None else min(max(reward, -self._clip), self._clip)
            returns.append(
                clipped * self._reward_scale
                + (0.0 if ended else self.gamma * (bonus + returns[-1]))
            )
            bonus = _number(assessment.bonus)
        return returns[::-1]


@computes
def load_assessor(path: str | Path, *, algorithm: Any = None, network: Any = None) -> Assessor:
    """The assessor of what was saved in a run folder (its newest checkpoint), a checkpoint, or an agent's folder.

    Reads the state and the running statistics, no buffer. Arguments and errors are those of `footlight.load`.
    """
    folder = checkpoint.find(Path(path), warn, ["agent"])
    manifest = checkpoint.read_manifest(folder)
    with checkpoint.as_user_error(folder):
        method, config, spaces, networks = rebuild(manifest, algorithm, network)
        num_envs = manifest["num_envs"]
        state, normalizer = (
            method.init(config, networks, spaces, num_envs),
            make_normalizer(config, spaces, num_envs),
        )
    if manifest.get("keep_gradients"):
        make_room_for_gradients(state)
    leaves: dict[str, Array] = {
        name: leaf.numpy() if isinstance(leaf, Tensor) else leaf
        for name, leaf in tree_items(state).items()
    } | (normalizer.arrays() if normalizer else {})
    max_bytes = sum(array.nbytes for array in leaves.values()) + MAX_BYTES  # and the metrics
    saved = checkpoint.read_arrays(folder, "agent", max_bytes)
    checkpoint.copy_into(
        leaves,
        {name: array for name, array in saved.items() if not name.startswith("metrics.")},
        folder,
    )
    return Assessor(method, config, networks, spaces, state, normalizer)


def _number(part: Array | None) -> float:
    return 0.0 if part is None else float(part)
