"""Start-up probe: whether an interrupted run can be resumed exactly.

A resumed run restores environments by rerunning their current episodes from their seeds in new
instances. That is exact if an episode is a function of its seed and actions alone. The probe tests
this before the training begins, in instances of its own, with seeds and actions from streams of
their own. Running statistics of wrappers are part of a checkpoint; the probe freezes them.
"""

import contextlib
import copy
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from footlight.contexts import close_quietly
from footlight.environments.budget import SECONDS, Budget, TooLong, global_randomness
from footlight.environments.carried import CARRIED, NEW, USED, save_attributes, through_attributes
from footlight.environments.running_statistics import freeze_statistics
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentLike, Environments, EnvironmentSource
from footlight.environments.trial import PLAY_SECONDS
from footlight.environments.trial import STEPS as TRIAL_STEPS
from footlight.environments.vector import VectorEnvironments
from footlight.environments.watchdog import warn_if_hanging
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.environments.wrappers import single_envs
from footlight.errors import EnvironmentFault, UserError
from footlight.streams import derived_seed
from footlight.trees import leaves_of
from footlight.types import Array

STEPS = 100  # compared: of consecutive episodes, of which the last is cut off
STEPS_BETWEEN = 50  # of other episodes before the first ones are played again
ALL_STEPS = 3 * STEPS + STEPS_BETWEEN
MAX_STEPS = ALL_STEPS + 2 * STEPS  # if episodes differ, some are played again
NOT_PROBED = "unknown: the start-up probe was left out (probe off)"
NOT_COMPARED = "the given object was not compared with a copy (probe off)"
DIFFERENT = "two instances of the environment differ"
"""How the verdict begins if each instance repeats its own episodes, but two instances differ."""
HISTORY = "history-dependent"


def is_another(verdict: str | None) -> bool:
    """Whether a verdict says that another instance is not the same environment."""
    return verdict is not None and verdict.startswith((DIFFERENT, CARRIED))


def check_determinism(
    environment: EnvironmentLike | EnvironmentSource,
    environments: Environments,
    seed: int,
    supervision: Supervision = Supervision(),  # noqa: B008
) -> str | None:
    """Why a run in `environments` could not be resumed exactly; None if it can.

    environment: what `environments` were made from. Two instances are made and compared, in this
    process or in one each, as those of the training are.
    """
    if isinstance(environments, VectorEnvironments):
        return environments.why_inexact
    source = EnvironmentSource.of(environment)
    try:
        source.remake()
    except UserError as error:
        return str(error).partition(" - give ")[0]
    space = copy.deepcopy(environments.action_space)
    space.seed(derived_seed(seed, "actions on trial"))
    actions = [np.asarray(space.sample())[None] for _ in range(STEPS + STEPS_BETWEEN)]
    with contextlib.ExitStack() as closing:
        closing.callback(global_randomness())
        try:
            used, fresh = (
                _instance(source, environments, seed, supervision, closing) for _ in range(2)
            )
            if used.envs[0].unwrapped is fresh.envs[0].unwrapped:
                return "there is only one instance of the environment"
            closing.enter_context(warn_if_hanging([used, fresh], supervision.timeout))
            return _compared(used, fresh, actions)
        except TooLong as long:
            return f"unknown: the start-up probe was stopped: {long}"
        except UserError as error:
            reason = str(error).partition(" - give ")[0]
            return f"unknown: a second instance cannot be created for the probe ({reason})"
        except EnvironmentFault as fault:  # the training's own error will say more
            where = f" at step {fault.episode.step}" if fault.episode else ""
            return f"an episode on trial failed{where}"


def announcement(source: EnvironmentSource, name: str, is_resumed: bool = False) -> str | None:
    """Describe what the probe does to an environment; None if that is nothing, or if it is known to
    be a simulation.

    is_resumed: the run is resumed, so that a given object is only compared with a copy.
    """
    if source.is_simulation or (source.is_vector and not source.is_object):
        return None
    if not source.is_object:
        where = f"in 2 further instances of {name} ({MAX_STEPS} if episodes differ)"
        text = f"start-up probe: up to {ALL_STEPS} random steps {where}, at most {SECONDS:.0f} s"
    else:
        steps = f"{TRIAL_STEPS} random steps in {name} itself ({2 * TRIAL_STEPS} if a copy differs)"
        if is_resumed:
            seconds = 3 * PLAY_SECONDS
            copies = f"{TRIAL_STEPS} in a copy, at most {seconds:.0f} s"
            text = f"comparison with a copy: up to {steps} and {copies}"
        else:  # if the copy differs, the trial plays a third time, and there is no probe
            seconds = 2 * PLAY_SECONDS + SECONDS
            copies = f"{TRIAL_STEPS + MAX_STEPS} in copies of it, at most {seconds:.0f} s"
            text = f"start-up probe: up to {steps} and {copies}"
    return text if is_resumed else f"{text}; probe off leaves it out"


def _instance(
    source: EnvironmentSource,
    like: Environments,
    seed: int,
    supervision: Supervision,
    closing: contextlib.ExitStack,
) -> SerialEnvironments:
    """Another instance, in a process of its own if those of `like` are. Raises `UserError`."""
    make_it = source.make_another
    if isinstance(like, AsyncEnvironments):
        environments: SerialEnvironments = AsyncEnvironments(
            make_it, 1, seed, "trial", replace(supervision, restart=False)
        )
    else:
        env = make_it()
        if any(env.unwrapped is used.unwrapped for used in single_envs(like)):
            raise UserError("it is the training's own that is given again")
        environments = SerialEnvironments([env], seed, "trial")
    # Quietly, since the training closes some of these as well, and reports errors
    closing.callback(close_quietly, environments)
    freeze_statistics(environments.envs[0])
    return environments


def _compared(
    used: SerialEnvironments, fresh: SerialEnvironments, actions: list[Array]
) -> str | None:
    budget = Budget(ALL_STEPS)
    save_attributes(used.envs[0], NEW)
    first, second = (
        _play(environments, "trial", actions[:STEPS], budget) for environments in (used, fresh)
    )
    if first != second:
        step = _first_difference(first, second)
        again = [
            _play(environments, "trial", actions[:STEPS], budget) for environments in (used, fresh)
        ]
        if again == [first, second]:
            return f"{DIFFERENT} at step {step} of an episode with the same seed and actions"
        return (
            f"nondeterministic: two episodes with the same seed and actions differ at step {step}"
        )
    _play(used, "life before", actions[STEPS:], budget)
    save_attributes(used.envs[0], USED)
    third = _play(used, "trial", actions[:STEPS], budget)
    if third != second:
        step = _first_difference(third, second)

        def repeats() -> bool:
            return _play(used, "trial", actions[:STEPS], budget) == third

        through = through_attributes(used.envs[0], repeats)
        cause = HISTORY if through is None else f"{CARRIED}{through}"
        return (
            f"{cause}: an episode differs at step {step} in an instance that has lived through "
            "others"
        )
    return None


def _play(
    environments: SerialEnvironments, stream: str, actions: list[Array], budget: Budget
) -> list[tuple[int, bytes]]:
    """Step of the episode and everything the agent receives, for the first episodes of a stream.

    Raises `TooLong`.
    """
    environments.reseed(stream)
    with budget.step():
        received = [(0, _bytes(environments.reset()))]
    for action in actions:
        step = int(environments.tracker.length[0]) + 1
        with budget.step():
            transition = environments.step(action)
        parts = (
            transition.next_observation,
            transition.reward,
            transition.terminated,
            transition.truncated,
        )
        received.append((step, b"".join(map(_bytes, parts))))
        if environments.finished:
            received.append((0, _bytes(environments.observation)))
    return received


def _bytes(array: Array) -> bytes:
    """The bytes of an array, or of the leaves of records without the padding between them."""
    return b"".join(leaf.tobytes() for leaf in leaves_of(array).values())


def _first_difference(one: list[tuple[int, bytes]], other: list[tuple[int, bytes]]) -> int:
    pairs = zip_longest(one, other)
    return next((first or second)[0] for first, second in pairs if first != second)
