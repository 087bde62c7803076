"""Whether seeds determine episodes: the same one the same episode, another one another."""

import copy
from typing import Any

from footlight.contexts import closing
from footlight.doctor.findings import Finding, Severity
from footlight.environments.carried import CARRIED
from footlight.environments.determinism import DIFFERENT, HISTORY, check_determinism
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.errors import UserError
from footlight.examination.contract import Answer, Contract
from footlight.examination.random_play import same_leaves
from footlight.streams import derived_seed

STEPS = 50
SOURCE = "Gymnasium's check_env"


def same_seed(source: EnvironmentSource, seed: int) -> tuple[Finding | None, str | None]:
    """Whether two episodes with the same seed and actions are equal, as at the start of a run.

    Returns a finding, or why it cannot be judged; neither if they are.
    """
    try:
        with closing(source.make(Wanted(seed, stream="examination"))) as environments:
            verdict = check_determinism(source, environments, seed)
    except UserError as error:  # spaces in which footlight cannot train
        return None, f"whether seeds reproduce episodes: {str(error).partition(' - ')[0]}"
    if verdict is None:
        return None, None
    severity: Severity = "warning"
    if verdict.startswith("nondeterministic"):
        title = "reset with a seed does not reproduce an episode: there is unseeded randomness"
    elif verdict.startswith(DIFFERENT):
        title = "equal seeds give different episodes in two instances of the environment"
    elif verdict.startswith((HISTORY, CARRIED)):
        title, severity = "an episode depends on the episodes before it", "note"
    else:
        return None, f"whether seeds reproduce episodes: {verdict}"
    return Finding(
        check="seed-not-reproducing",
        severity=severity,
        title=title,
        evidence=verdict,
        step=None,
        meaning="Algorithms learn in it, but runs with one seed differ, resuming is not exact, and "
        "failed episodes cannot be reproduced.",
        remedy="call super().reset(seed=seed) and draw from self.np_random only "
        "(docs/own-environment.md)",
        source=SOURCE,
        confidence=0.9,
    ), None


def other_seeds(contract: Contract, seed: int) -> Finding | None:
    """Whether episodes with different seeds are all the same.

    Raises `EnvironmentFault` and `BrokenContractError`.
    """
    space = copy.deepcopy(contract.action_space)
    space.seed(derived_seed(seed, "actions of equal seeds"))
    actions = [space.sample() for _ in range(STEPS)]
    seeds = [derived_seed(seed, "equal seeds", number) for number in range(3)]
    first, *others = [_episode(contract, each, actions) for each in seeds]
    if any(not _equal(first, other) for other in others):
        return None
    starts = [[contract.reset(None)] for _ in range(4)]
    ignores = any(not _equal(starts[0], other) for other in starts[1:])
    steps = len(first) - 1
    # Grids and games of choices often begin at one place; a physical state hardly ever does
    is_continuous = any(leaf.is_quantity for leaf in contract.spaces.observation.values())
    return Finding(
        check="seed-ignored",
        severity="warning" if ignores or is_continuous else "note",
        title="reset ignores the seed: different seeds give the same episode"
        if ignores
        else "different seeds give the same episode: no randomness, or reset ignores the seed",
        evidence=f"{len(seeds)} seeds, the same {steps} actions: all observations and rewards equal"
        + ("; without a seed, first observations differ" if ignores else ""),
        step=None,
        meaning="Several environments that train together collect the same steps if they act alike "
        "and an evaluation of many episodes says no more than one.",
        remedy="call super().reset(seed=seed) and draw the start from self.np_random; nothing, if "
        "it is meant to be deterministic",
        source=SOURCE,
        confidence=0.85,
    )


def _episode(contract: Contract, seed: int, actions: list[Any]) -> list[Answer]:
    """The first answers of an episode."""
    answers = [contract.reset(seed)]
    for action in actions:
        answers.append(contract.step(action))
        if answers[-1].terminated or answers[-1].truncated:
            break
    return answers


def _equal(one: list[Answer], other: list[Answer]) -> bool:
    return len(one) == len(other) and all(map(_equal_answers, one, other))


def _equal_answers(one: Answer, other: Answer) -> bool:
    return one.reward == other.reward and same_leaves(one.observation, other.observation)
