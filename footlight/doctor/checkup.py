"""The checkup of a run folder: all checks on what its files say."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from footlight.doctor import (
    data_checks,
    episode_checks,
    network_checks,
    outcome_checks,
    policy_checks,
    setting_checks,
    value_checks,
)
from footlight.doctor.evidence import Evidence, NotApplicable, NotJudged
from footlight.doctor.findings import Checkup, Finding, ranked, remedy_for
from footlight.runs.read import RunData, read_run

MAX_LOG_BYTES = 1 << 24
"""Of a log that is larger, such as that of a hundred thousand episodes, only both ends are read."""

Check = Callable[[Evidence], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    *setting_checks.CHECKS,
    *episode_checks.CHECKS,
    *data_checks.CHECKS,
    *value_checks.CHECKS,
    *policy_checks.CHECKS,
    *network_checks.CHECKS,
    *outcome_checks.CHECKS,
)


def examine(folder: Path) -> Checkup:
    """Examine a run folder. Only its text files are read, also while the run is in progress.

    Raises `UserError` if `folder` is not a run folder, or if one of its files is invalid.
    """
    return examine_data(read_run(folder, MAX_LOG_BYTES))


def examine_data(run: RunData) -> Checkup:
    """Examine what the files of a run say."""
    evidence = Evidence(run)
    found: list[Finding] = []
    not_judged: list[str] = []
    count = 0
    for check in CHECKS:
        try:
            found += check(evidence)
            count += 1
        except NotApplicable:
            continue
        except NotJudged as reason:
            not_judged.append(f"{check.__name__.replace('_', ' ')}: {reason}")
        except Exception as error:  # of values that no check expects: the others are still made
            what = f"it failed with {type(error).__name__}: {error!s:.100}"
            not_judged.append(f"{check.__name__.replace('_', ' ')}: {what}")
    for index, each in enumerate(found):
        remedy = remedy_for(each.check, evidence.fields)
        found[index] = dataclasses.replace(each, remedy=remedy)
    return Checkup(ranked(found), tuple(not_judged), count)
