"""Whether the parameters of another agent fit this one, and what to change where they do not."""

from collections.abc import Iterator
from dataclasses import replace

from footlight.algorithms import ALGORITHMS
from footlight.config.fields import describe_value, fields
from footlight.errors import UserError
from footlight.learning.blueprint import Blueprint, networks_of
from footlight.types import BoxAction, Spaces

MAX_NAMED = 20  # parameters in one message
Shapes = dict[str, tuple[int, ...]]


def require_fit(known_as: str, there: Blueprint, here: Blueprint) -> None:
    """Raise `UserError` if networks or spaces of the saved agent `there` differ.

    known_as: the saved agent, as messages name it. The error names each parameter whose shape
    differs, with both shapes, and the fields that make the difference.
    """
    spaces = _describe(there.spaces), _describe(here.spaces)
    before, now = _shapes(there), _shapes(here)
    if before == now and spaces[0] == spaces[1]:
        return
    raise UserError(
        f"{known_as} does not fit this run - "
        + ("its spaces differ\n" if spaces[0] != spaces[1] else "its networks differ\n")
        + (differences(before, now) or f"its spaces: {spaces[0]}; here: {spaces[1]}")
        + f"\n{_remedy(there, here, spaces)}"
    )


def differences(before: Shapes, now: Shapes) -> str:
    """Each parameter whose shape differs, with both shapes; empty if there is none."""
    found = [
        f"{name} is {_shown(before.get(name))} there and {_shown(now.get(name))} here"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    more = len(found) - MAX_NAMED
    return "; ".join(found[:MAX_NAMED] + ([f"and {more} more"] if more > 0 else []))


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _remedy(there: Blueprint, here: Blueprint, spaces: tuple[str, str]) -> str:
    if spaces[0] != spaces[1]:
        return f"- it was trained with {spaces[0]}: train in an environment that has these"
    values = vars(there.config)
    changes = [f"{name} {describe_value(values[name])}" for name in _deciding_fields(there, here)]
    if not changes:
        return "- use the network that it was trained with"
    return f"- set {', '.join(changes)}, as there"


def _deciding_fields(there: Blueprint, here: Blueprint) -> Iterator[str]:
    """The fields of the config that differ and that shapes depend on."""
    before, now = vars(there.config), vars(here.config)
    for name in fields(here.config.__class__):
        if name not in before or before[name] == now[name]:
            continue
        try:
            one = replace(here, config=replace(here.config, **{name: before[name]}))
            if _shapes(one) != _shapes(here):
                yield name
        except UserError:  # it is not valid together with the other fields
            continue


def _shapes(blueprint: Blueprint) -> Shapes:
    """The shapes of all parameters that learn, by network and name."""
    is_ours = blueprint.network is None and blueprint.name in ALGORITHMS
    algorithm = blueprint.build_shapes() if is_ours else blueprint.build()
    return {
        f"{network}.{name}": shape
        for network, each in networks_of(algorithm)
        for name, shape in each.shapes.items()
    }


def _describe(spaces: Spaces) -> str:
    """Observations and actions, without the bounds of continuous actions."""
    observations = ", ".join(
        f"{name} {leaf.dtype}{list(leaf.shape)}".strip()
        + (f" of {[len(each) for each in leaf.choices]} choices" if leaf.choices else "")
        for name, leaf in spaces.observation.items()
    )
    action = spaces.action
    if isinstance(action, BoxAction):
        actions = f"box{list(action.shape)}"
    else:
        actions = f"discrete{list(action.sizes)}"
    return f"observations {observations} and actions {actions}"
