"""Whether an environment that is given in place of a recorded id is the one that the id makes."""

from typing import Any

from footlight.contexts import close_quietly
from footlight.environments.attributes import differ
from footlight.environments.layers import layer_attributes, same_items
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.streams import derived_seed

_STEPS = 10  # in the environment of the id, to see which attributes change


def why_not_known(given: EnvironmentSource, recorded: EnvironmentSource, seed: int) -> str | None:
    """How the layers and settings of what was given differ from those of a recorded id.

    None if nothing differs. What was given is not stepped.
    """
    made: list[Any] = []
    try:
        fresh, again = (recorded.make_another() for _ in range(2))
        made += [fresh, again]
        instance = given.instance
        if instance is None:
            made.append(instance := given.make_another())
        has, settings = layer_attributes(instance), _settings(fresh, again, seed)
        layers, wanted = ([layer["class"] for layer in each] for each in (has, settings))
        if layers != wanted:
            return f"it consists of {', '.join(layers)} in place of {', '.join(wanted)}"
        for one, other in zip(has, settings, strict=True):
            for name, value in other.items():
                if name in one and differ(one[name], value):
                    return f"{one['class']}.{name} differs"
        return None
    except UserError as error:
        return str(error).partition(" - ")[0]
    finally:
        for env in made:
            close_quietly(env)


def _settings(fresh: Any, again: Any, seed: int) -> list[dict[str, Any]]:
    """Attributes of each layer that are equal in two instances and that no step changes."""
    before = layer_attributes(fresh)
    fresh.action_space.seed(seed := derived_seed(seed, "settings"))
    fresh.reset(seed=seed)
    for _ in range(_STEPS):
        if any(fresh.step(fresh.action_space.sample())[2:4]):
            break
    unchanged = [same_items(*pair) for pair in zip(before, layer_attributes(fresh), strict=True)]
    others = layer_attributes(again)
    return [same_items(*pair) for pair in zip(unchanged, others, strict=True)]
