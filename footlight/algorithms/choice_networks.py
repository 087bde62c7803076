"""Networks of off-policy algorithms for a single discrete choice: an actor with one logit for each
choice, and critics with one value Q(s, a) for each."""

from dataclasses import dataclass
from typing import Any

import torch

from footlight.algorithms.network_source import NetworkSource, naming_part, own_parts
from footlight.algorithms.on_policy import architecture_of, example, sees_pixels
from footlight.errors import UserError
from footlight.networks.bodies import POLICY_GAIN, ChoiceNetwork
from footlight.networks.flat import Network
from footlight.networks.heads import Categorical
from footlight.types import DiscreteAction, Spaces


@dataclass(frozen=True)
class ChoiceNetworks:
    """Architectures; their parameters are in the state. All are called with observations alone."""

    actor: Network  # logits, [B, A]
    critic: Network  # Q(s, .), [N, B, A]
    head: Categorical

    @property
    def policy(self) -> Network:
        """The actor."""
        return self.actor

    @property
    def num_choices(self) -> int:
        """A."""
        return self.head.num_outputs


def build_choice_networks(
    config: Any, spaces: Spaces, num_critics: int, network: NetworkSource | None
) -> ChoiceNetworks:
    """An actor and an ensemble of critics.

    config: has the fields of `HiddenLayers`.
    network: the user's own modules, with the parts `actor` and `critic`, or one of them; both
    return [B, A].

    Raises `UserError` for an unsuitable module of the user's.
    """
    assert isinstance(spaces.action, DiscreteAction)
    (num_choices,) = spaces.action.sizes
    shape, architecture = spaces.observation_shape, architecture_of(config, spaces)
    own_actor, own_critics = own_parts(network, spaces, num_critics)
    actor = own_actor or ChoiceNetwork(shape, num_choices, architecture, POLICY_GAIN)
    critics = own_critics or [
        ChoiceNetwork(shape, num_choices, architecture) for _ in range(num_critics)
    ]
    networks = ChoiceNetworks(
        actor=Network([actor], precision=config.precision, on_images=sees_pixels(config, spaces)),
        critic=Network(critics, ensemble=True, precision=config.precision),
        head=Categorical((num_choices,)),
    )
    parts = ("actor", networks.actor, own_actor), ("critic", networks.critic, own_critics)
    for name, part, own in parts:
        if own:
            _check_output_shape(name, part, spaces, num_choices)
        else:
            part.keep_outputs_in_fp32(example(spaces))
    return networks


def _check_output_shape(name: str, part: Network, spaces: Spaces, num_choices: int) -> None:
    """Call a part of the user's module once, so that a wrong shape is reported before training."""
    observation, wanted = example(spaces), (2, num_choices)
    returned = "logits" if name == "actor" else "values"
    called_so = f"it is called as {name}(observation), and must return {returned} [B, A]"
    with naming_part(name, called_so), torch.no_grad():
        part.keep_outputs_in_fp32(observation)
        shape = tuple(part(part.initial, observation).shape)
    if part.num_copies is not None:
        shape = shape[1:]
    if shape != wanted:
        raise UserError(
            f"the {name} returns shape {shape} for 2 observations - it must return {wanted}"
        )
