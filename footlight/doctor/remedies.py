"""What to do about a finding: options that name config fields, chosen for the config of a run."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_OPTIONS = 3
FIELD = re.compile(r"\{(\w+)(?: ([\w.-]+)>([\w.-]+))?\}")
"""A config field in an option: `{name}`, or `{name old>new}` where its value has to be `old`."""
CONDITION = re.compile(r"\{(\w+)(!?=)([\w.-]+)\}")
"""What holds for a config that an option is for: `{name=value}` or `{name!=value}`; not shown."""

LOWER_RATE = "lower {learning_rate}", "lower {actor_step_size} and {critic_step_size}"
LOWER_ACTOR_RATE = "set a smaller {actor_learning_rate}", "lower {actor_step_size}"
NORMALIZE_LAYERS = "set {norm none>layer}", "set {layer_norm false>true}"
NORMALIZE_OBSERVATIONS = "set {normalize_observations false>true}"
NORMALIZE_REWARDS = "set {normalize_rewards false>true}"
RESCALE_OBSERVATIONS = "rescale observations in the environment to a magnitude near 1"
RESCALE_REWARDS = "rescale rewards in the environment to a magnitude near 1"


def describe_options(options: Iterable[str], fields: Mapping[str, Any]) -> str:
    """The first options that fit a config with these fields and values."""
    fitting = [option for option in options if fits(option, fields)]
    return "; ".join(shown(option) for option in fitting[:MAX_OPTIONS])


def fits(option: str, fields: Mapping[str, Any]) -> bool:
    """Whether the config has all fields that an option names, and the values that it is for."""
    return all(
        name in fields and (not old or _text(fields[name]) == old)
        for name, old, _ in FIELD.findall(option)
    ) and all(
        (_text(fields.get(name)) == value) == (sign == "=")
        for name, sign, value in CONDITION.findall(option)
    )


def _text(value: Any) -> str:
    return str(value).lower()


def shown(option: str, quote: str = "") -> str:
    """An option without its braces, and with `quote` around the names of fields."""
    return FIELD.sub(
        lambda field: f"{quote}{field[1]}{quote}" + (f" to {field[3]}" if field[3] else ""),
        CONDITION.sub("", option),
    )
