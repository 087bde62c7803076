"""The critic's value and the policy's distribution at a state, and the returns that followed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from footlight.algorithms.ordinary_parts import StateHolder
from footlight.algorithms.protocol import Diagnosable, Discounting
from footlight.algorithms.settings import Normalization
from footlight.ambient import computes
from footlight.equations.optimizers import make_room_for_gradients
from footlight.errors import UserError, warn
from footlight.learning.blueprint import AnyAlgorithm, read_blueprint
from footlight.learning.normalization import Normalizer, make_normalizer
from footlight.learning.observations import as_batch
from footlight.learning.saved_agent import OWN, own_state
from footlight.learning.transport import as_array
from footlight.networks.flat import as_tensors
from footlight.storage import checkpoint
from footlight.storage.files import MAX_BYTES
from footlight.trees import tree_items
from footlight.types import Array, Diagnosis, Spaces


class CriticProbe:
    """Diagnoses one observation at a time with an algorithm's `diagnose`.

    `state` and `normalizer` may change between calls. Raises `UserError` if the algorithm has no
    `diagnose`, or its config no `gamma`.
    """

    def __init__(
        self, algorithm: AnyAlgorithm, spaces: Spaces, state: Any, normalizer: Normalizer | None
    ) -> None:
        if not isinstance(algorithm, Diagnosable) or not isinstance(algorithm.config, Discounting):
            lacks = "`gamma` in its config"
            if not isinstance(algorithm, Diagnosable):
                own = isinstance(algorithm, StateHolder)
                lacks = "`def value(self, observation): ...`" if own else "`diagnose`"
            raise UserError(
                f"{type(algorithm).__name__} has no values to overlay - it lacks {lacks} - add it "
                "(see docs/own-algorithm.md), or leave out the overlay"
            )
        self.spaces, self.gamma = spaces, float(algorithm.config.gamma)
        self._diagnose, self._state, self._normalizer = algorithm.diagnose, state, normalizer
        self._device = algorithm.policy(state).parameters.device
        config = algorithm.config
        self._clip = config.clip_reward if isinstance(config, Normalization) else None

    def __call__(self, observation: Any) -> Diagnosis:
        """Return the diagnosis of one observation, as arrays without the axis E."""
        found = self.many(as_batch(observation, self.spaces))
        return Diagnosis(*(None if part is None else part[0] for part in found))

    @computes
    def many(self, batch: Array) -> Diagnosis:
        """Return the diagnosis of observations [E, ...] in the stored dtype, as arrays."""
        if self._normalizer is not None:
            batch = self._normalizer.observation(batch)
        with torch.no_grad():
            found = self._diagnose(self._state, as_tensors(batch, self._device))
        return Diagnosis(*(None if part is None else part.cpu().numpy() for part in found))

    def scaled(self, reward: Array) -> Array:
        """Raw rewards in the units of the critic's: clipped and scaled as in training."""
        return as_learned(reward, self._clip, self._normalizer)

    @property
    def units(self) -> str:
        """The units of values and returns, as text."""
        clip = "" if self._clip is None else f" clipped to ±{self._clip:g},"
        scale = "" if self._reward_scale == 1 else f" × {self._reward_scale:.3g},"
        return f"rewards{clip}{scale} discounted by γ = {self.gamma:g}"

    @property
    def _reward_scale(self) -> float:
        return 1.0 if self._normalizer is None else float(self._normalizer.reward_scale[0])

    def returns(
        self,
        rewards: Sequence[float],
        diagnoses: Sequence[Diagnosis],
        terminated: bool,
        life_lost: Sequence[bool] | None = None,
    ) -> list[float]:
        """Return the discounted return after each of T + 1 states, from T raw rewards.

        G_t = r_t + gamma * (bonus_{t+1} + G_{t+1}), in the units of the critic's values: rewards
        are clipped and scaled as in training. The return of the last state is 0 if the episode
        `terminated`, and otherwise the critic's value (0 without a critic).

        life_lost: for each reward, whether a life was lost that ended the episode for the critic.
        """
        ends = reversed(life_lost or [False] * len(rewards))
        last = diagnoses[-1]
        following = 0.0 if terminated else _number(last.value)
        bonus = 0.0 if terminated else _number(last.bonus)
        returns = [following]
        for reward, diagnosis, ended in zip(
            reversed(rewards), reversed(diagnoses[:-1]), ends, strict=True
        ):
            clipped = reward if self._clip is None else min(max(reward, -self._clip), self._clip)
            returns.append(
                clipped * self._reward_scale
                + (0.0 if ended else self.gamma * (bonus + returns[-1]))
            )
            bonus = _number(diagnosis.bonus)
        return returns[::-1]


def as_learned(reward: Array, clip: float | None, normalizer: Normalizer | None) -> Array:
    """Raw rewards as an update sees them: clipped, normalized, and clipped again."""
    clipped = reward if clip is None else reward.clip(-clip, clip)
    if normalizer is None or not normalizer.rewards:
        return clipped
    scaled, bound = clipped * float(normalizer.reward_scale[0]), normalizer.reward_bound
    return scaled if bound is None else scaled.clip(-bound, bound)


@computes
def load_critic_probe(
    path: str | Path, *, algorithm: Any = None, network: Any = None
) -> CriticProbe:
    """Return the probe for a run folder (its newest checkpoint), a checkpoint or a saved agent.

    Reads the state and the running statistics, but no buffer. Arguments and errors are those of
    `footlight.load`.
    """
    folder = checkpoint.find(Path(path), warn, ["agent"])
    manifest = checkpoint.read_manifest(folder)
    with checkpoint.as_user_error(folder):
        blueprint = read_blueprint(manifest, algorithm, network)
        bound, num_envs = blueprint.build(), manifest["num_envs"]
        state = bound.init(num_envs)
        normalizer = make_normalizer(blueprint.config, blueprint.spaces, num_envs)
    if manifest.get("keep_gradients"):
        make_room_for_gradients(state)
    leaves: dict[str, Array] = {name: as_array(leaf) for name, leaf in tree_items(state).items()}
    leaves |= normalizer.arrays() if normalizer else {}
    # The file also holds metrics, and the memory of acting.
    max_bytes = sum(array.nbytes for array in leaves.values()) + MAX_BYTES
    if isinstance(bound, StateHolder):
        max_bytes = sys.maxsize  # what optimizers remember has any size
    saved = checkpoint.read_arrays(folder, "agent", max_bytes)
    if isinstance(bound, StateHolder):
        with checkpoint.as_user_error(folder):
            bound.restore(own_state(manifest, saved))
    others = ("metrics.", "memory.", "pending.", OWN)
    wanted = {name: array for name, array in saved.items() if not name.startswith(others)}
    checkpoint.copy_into(leaves, wanted, folder)
    return CriticProbe(bound, blueprint.spaces, state, normalizer)


def _number(part: Array | None) -> float:
    return 0.0 if part is None else float(part)
