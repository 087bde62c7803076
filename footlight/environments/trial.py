"""Compare a given environment object with a copy in a short trial, before the training begins.

Attributes of an object may have been set after it was made, and wrappers put around it. So the
object and a copy play the same short episodes, and the copy is evaluated in place of the object
only if everything they return is equal.
"""

import contextlib
import copy
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv

from footlight.contexts import close_quietly
from footlight.environments.attributes import differ
from footlight.environments.autoreset import has_rows
from footlight.environments.budget import SECONDS, Budget, TooLong, global_randomness
from footlight.environments.carried import CARRIED, NEW, USED, save_attributes, through_attributes
from footlight.environments.layers import layer_attributes, same_items
from footlight.environments.running_statistics import (
    read_statistics,
    statistics_wrappers,
    why_not_shared,
    write_statistics,
)
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.environments.spaces import difference
from footlight.environments.wrappers import chain, without_recorders
from footlight.errors import UserError, describe_error
from footlight.signals import is_interruption
from footlight.streams import derived_seed
from footlight.trees import named_leaves
from footlight.types import Array

STEPS = 100  # compared, of consecutive episodes
ENOUGH_STEPS = 8  # that have to be equal if the budget ends the trial
EPISODE_STEPS = 40  # after which the next episode begins
PLAY_SECONDS = SECONDS / 2  # of the object, of its copy, and of the object again if they differ
DIFFERS = "a copy of the given object differs from it"
"""How the reason begins if a trial or an attribute shows that the object is another one."""
_CLOSE = 1e-5  # relative: sums over rows may be rounded in another order
_HISTORY = (
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.vector.RecordEpisodeStatistics,
)


class _Answer(NamedTuple):
    """What one step (or reset) returned, for each row."""

    observation: Array
    reward: Array
    terminated: Array
    truncated: Array


def why_different(environment: EnvironmentLike | EnvironmentSource, seed: int) -> str | None:
    """Why a copy of the given object is not known to be the same environment; None if it is.

    None for ids and functions as well. Nothing is remembered between calls, as the user may change
    an attribute of the object at any time. The caller resets the object afterwards; its running
    statistics and episode records are restored, and so are process-wide random generators.
    """
    source = EnvironmentSource.of(environment)
    instance = source.instance
    if instance is None:
        return None
    with contextlib.ExitStack() as closing:
        closing.callback(global_randomness())
        try:
            other: Any = source.make_another()
            closing.callback(close_quietly, other)
            if (rows := source.make_rows()) is not None:
                other = rows
                closing.callback(close_quietly, other)
            given = closing.enter_context(_borrowed(instance))
            fresh = layer_attributes(other)
            return (
                _different_spaces(instance, other)
                or _different_statistics(given, other)
                or _compared(given, other, seed)
                or _different_settings(given, other, fresh, source)
            )
        except UserError as error:
            return str(error).partition(" - give ")[0]
        except BaseException as error:  # the user's own code may raise anything, even SystemExit
            if is_interruption(error):
                raise
            what = "a trial in the given object and in a copy failed"
            return f"{what} with {describe_error(error)}"


def _different_spaces(source: Any, other: Any) -> str | None:
    what = difference(_single(source), _single(other))
    return None if what is None else f"the given object cannot be repeated: {what}"


def _single(env: Any) -> Any:
    """Something with the spaces of a single environment."""
    if isinstance(env, VectorEnv):
        single = gymnasium.Env[Any, Any]()
        single.observation_space = env.single_observation_space
        single.action_space = env.single_action_space
        return single
    return env


def _different_statistics(given: Any, other: Any) -> str | None:
    """Give both the same statistics, frozen; why that is impossible, or None."""
    if (reason := why_not_shared(given, other)) is None:
        write_statistics(other, read_statistics(given), frozen=True)
    return reason


def _compared(given: Any, other: Any, seed: int) -> str | None:
    space = copy.deepcopy(_single(given).action_space)
    space.seed(derived_seed(seed, "actions on trial"))
    actions = [np.asarray(space.sample()) for _ in range(STEPS)]
    start = derived_seed(seed, "trial")
    save_attributes(other, NEW)
    (first, too_long), (second, also_too_long) = (
        _play(env, start, actions) for env in (given, other)
    )
    wrong = next(filter(None, map(_first_difference, first, second)), None)
    if wrong is None:
        why = too_long or also_too_long
        if why is not None and min(len(first), len(second)) < ENOUGH_STEPS:
            return f"the comparison of the given object with a copy was stopped: {why}"
        if why is not None or not isinstance(given, VectorEnv):
            return None  # copies of a single environment are probed
        return _carried(other, second, start, actions)
    again, _ = _play(given, start, actions)
    if any(map(_first_difference, first, again)):
        return "the given object is not deterministic, so it cannot be compared with a copy"
    return f"{DIFFERS}: with the same seed and actions {wrong} differs"


def _carried(env: Any, first: list[_Answer], seed: int, actions: list[Array]) -> str | None:
    """Through which statistics episodes depend on earlier ones; None if they do not.

    first: what a new copy answered, whose attributes were saved before.
    """
    save_attributes(env, USED)
    again, _ = _play(env, seed, actions)

    def repeats(before: list[_Answer] = again) -> bool:
        return not any(map(_first_difference, before, _play(env, seed, actions)[0]))

    if not any(map(_first_difference, first, again)):
        return None
    if (through := through_attributes(env, repeats)) is None:
        return None
    return f"{CARRIED}{through}: an episode differs in a copy that has lived through others"


def _play(env: Any, seed: int, actions: list[Array]) -> tuple[list[_Answer], TooLong | None]:
    """The answers in consecutive episodes, and why there are fewer steps than actions, if so.

    All rows of a vector environment play the same if each takes a seed.
    """
    _seed_globally(seed)
    is_vector, budget = isinstance(env, VectorEnv), Budget(STEPS, PLAY_SECONDS)
    answers: list[_Answer] = []
    episode, length = 0, EPISODE_STEPS
    try:
        for action in actions:
            if length == EPISODE_STEPS:
                start: Any = derived_seed(seed, "episode", episode)
                if is_vector and has_rows(env):
                    start = [start] * env.num_envs
                with budget.step():
                    observation, _ = env.reset(seed=start)
                episode, length = episode + 1, 0
                nothing = np.zeros(env.num_envs if is_vector else 1)
                answers.append(_Answer(_rows(env, observation), nothing, nothing, nothing))
            taken: Any = np.array([action] * env.num_envs) if is_vector else action.copy()
            if not is_vector and isinstance(env.action_space, gymnasium.spaces.Discrete):
                taken = int(action)
            with budget.step():
                observation, *parts = env.step(taken)[:4]
            length += 1
            rest = (np.array(part if is_vector else [part]) for part in parts)
            step = _Answer(_rows(env, observation), *rest)
            if (step.terminated | step.truncated).any():
                length = EPISODE_STEPS
                # The observation may belong to the next episode already
                step = step._replace(observation=np.zeros_like(step.observation))
            answers.append(step)
    except TooLong as too_long:
        return answers, too_long
    return answers, None


def _rows(env: Any, observation: Any) -> Array:
    """Observations by row; the leaves of a Dict or Tuple are concatenated."""
    is_vector = isinstance(env, VectorEnv)
    space = env.single_observation_space if is_vector else env.observation_space
    if isinstance(space, gymnasium.spaces.Dict | gymnasium.spaces.Tuple):
        num_rows = env.num_envs if is_vector else 1
        leaves = named_leaves(observation).values()
        return np.concatenate([np.reshape(leaf, (num_rows, -1)) for leaf in leaves], 1)
    return np.array(observation if is_vector else [observation])


def _seed_globally(seed: int) -> None:
    """Seed the generators of the process, so that each play draws the same from them."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)


def _first_difference(one: _Answer, other: _Answer) -> str | None:
    """The name of the first part that differs; a single row stands for each row of the other."""
    for name, first, second in zip(_Answer._fields, one, other, strict=True):
        if first.shape[1:] != second.shape[1:]:
            return f"the shape of the {name}"
        pair = first.astype(np.float64), second.astype(np.float64)
        if not np.isclose(*pair, _CLOSE, _CLOSE * _CLOSE, equal_nan=True).all():
            return f"the {name}" if name in ("observation", "reward") else name
    return None


def _different_settings(
    given: Any, other: Any, fresh: list[dict[str, Any]], source: EnvironmentSource
) -> str | None:
    """A setting of the given object that its copy lacks, such as a goal; a trial may not show it.

    Settings are attributes that no step has changed in the copy since it was `fresh`, and that are
    equal in all copies.
    """
    settings = [same_items(*pair) for pair in zip(fresh, layer_attributes(other), strict=True)]
    for row in range(source.fixed_num_envs or 1):
        layers = layer_attributes(given, row)
        if [layer["class"] for layer in layers] != [layer["class"] for layer in settings]:
            continue  # such as rows in processes, whose attributes are out of reach
        for number, (has, wanted) in enumerate(zip(layers, settings, strict=True)):
            for name, value in wanted.items():
                if name not in has or not differ(has[name], value):
                    continue
                with contextlib.ExitStack() as closing:
                    third = source.make_another()
                    closing.callback(close_quietly, third)
                    is_setting = layer_attributes(third)[number].get(name) == value
                if is_setting:
                    values = ""
                    if not any(isinstance(each, tuple) for each in (value, has[name])):
                        values = f" ({value!r:.40} in place of {has[name]!r:.40})"
                    attribute = f"{has['class']}.{name}{values}"
                    return f"{DIFFERS} in {attribute}"
    return None


@contextlib.contextmanager
def _borrowed(env: Any) -> Iterator[Any]:
    """The object for a trial, without recorders; its statistics and records are restored."""
    rows = env.num_envs if isinstance(env, VectorEnv) else 1
    layers = [layer for row in range(rows) for layer in chain(env, row)]
    before = [
        (layer, dict(vars(layer)))
        for layer in layers
        if isinstance(layer, _HISTORY) or statistics_wrappers(layer)
    ]
    for _, values in before:
        for name, value in values.items():
            if isinstance(value, np.ndarray) or type(value).__name__ == "deque":
                values[name] = copy.copy(value)
    inner = [(layer, "env", layer.env) for layer in layers if "env" in vars(layer)]
    inner += [
        (layer, "envs", layer.envs) for layer in chain(env) if isinstance(layer, SyncVectorEnv)
    ]
    try:
        for layer, name, wrapped in inner:
            if name == "envs":
                layer.envs = [without_recorders(row) for row in wrapped]
        for row in range(rows):
            write_statistics(env, {}, row, frozen=True)
        yield without_recorders(env)
    finally:
        for layer, name, wrapped in inner:
            setattr(layer, name, wrapped)
        for layer, values in before:
            vars(layer).update(values)
