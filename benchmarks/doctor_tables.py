"""Tables of `doctor.py`: which check comes first for each mistake, and false alarms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from doctor_faults import BASES, FAULTS, RANDOM
from doctor_training import outcome_of
from report import table

from footlight.doctor import Finding, examine

FIRST = 2  # findings among which the cause should be
GOAL, ALARMS = 0.90, 0.02
HARM = 0.1


@dataclass(frozen=True)
class Examined:
    """A run, and what the doctor says of it."""

    folder: Path
    findings: tuple[Finding, ...]
    reached: float | None
    """Return of the task itself."""

    def rank(self, causes: frozenset[str]) -> int | None:
        """The place of the first finding that names a cause; None where there is none."""
        places = [n for n, found in enumerate(self.findings, 1) if found.check in causes]
        return places[0] if places else None

    @property
    def alarms(self) -> set[str]:
        """The checks that find something that has to be changed."""
        return {found.check for found in self.findings if found.severity != "note"}


def examined(folder: Path) -> Examined:
    """Examine a run folder."""
    return Examined(folder, examine(folder).findings, outcome_of(folder)["return"])


Runs = Mapping[str, Sequence[Examined]]


def fault_lines(faulty: Runs, healthy: Runs) -> list[str]:
    """A row for each mistake, and the share of runs whose cause is among the first findings."""
    if not faulty:
        return []
    rows = [["mistake", "rank by seed", "return", "without", "first two findings"]]
    for name, runs in faulty.items():
        fault = FAULTS[name]
        ranks = [run.rank(fault.causes) for run in runs]
        shown = " ".join("-" if rank is None else str(rank) for rank in ranks)
        base = healthy.get(f"{fault.base} without a mistake", [])
        rows.append([name, shown, mean_return(runs), mean_return(base), first_two(runs)])
    width = max(len(row[-1]) for row in rows)
    share, count = share_of_first(faulty), sum(map(len, faulty.values()))
    harmless = [name for name, runs in faulty.items() if is_harmless(name, runs, healthy)]
    return [
        "rank: place of the first finding that names the mistake, by seed; -: none does.",
        "return: of the task itself, in 10 episodes, mean over seeds; without: the same training",
        "without the mistake.",
        "",
        *table([[*row[:-1], row[-1].ljust(width)] for row in rows]),
        "",
        f"the mistake is among the first {FIRST} findings: {share:.1%} of {count} runs "
        f"(goal: {GOAL:.0%})",
        f"mistakes that cost less than {HARM:.0%} of what is learned without them, at this size: "
        + ("; ".join(harmless) or "none"),
        "",
    ]


def is_harmless(name: str, runs: Sequence[Examined], healthy: Runs) -> bool:
    """Whether nearly as much is learned as without the mistake, in the mean over seeds."""
    base = FAULTS[name].base
    without = [run.reached for run in healthy.get(f"{base} without a mistake", [])]
    reached = [run.reached for run in runs]
    known = [[each for each in column if each is not None] for column in (reached, without)]
    if not all(known):
        return False
    mean, best = map(fmean, known)
    return best - mean < HARM * (best - RANDOM[BASES[base].environment])


def mean_return(runs: Sequence[Examined]) -> str:
    """The mean return over the runs that have one."""
    reached = [run.reached for run in runs if run.reached is not None]
    return f"{fmean(reached):,.0f}" if reached else "-"


def first_two(runs: Sequence[Examined]) -> str:
    """The first findings, of all seeds where they are not the same."""
    pairs = Counter(
        ", ".join(found.check for found in run.findings[:FIRST]) or "none" for run in runs
    )
    return " | ".join(pairs)


def share_of_first(faulty: Runs) -> float:
    """The share of runs whose cause is among the first findings."""
    ranks = [run.rank(FAULTS[name].causes) for name, runs in faulty.items() for run in runs]
    return sum(rank is not None and rank <= FIRST for rank in ranks) / max(len(ranks), 1)


def alarms_of(healthy: Runs) -> Counter[str]:
    """By check, how many healthy runs it finds something in."""
    return Counter(check for runs in healthy.values() for run in runs for check in run.alarms)


def alarm_lines(healthy: Runs) -> list[str]:
    """False alarms by check, and the healthy runs in which they are."""
    count = sum(map(len, healthy.values()))
    if not count:
        return []
    rows = [["false alarms", "runs", "share"]]
    rows += [[check, str(n), f"{n / count:.1%}"] for check, n in alarms_of(healthy).most_common()]
    rows += [["all other checks", "0", "0.0%"]]
    of_runs = [["run without a mistake", "return", "false alarms"]]
    for name, runs in healthy.items():
        found = Counter(check for run in runs for check in run.alarms)
        shown = ", ".join(f"{check} ({n} of {len(runs)})" for check, n in found.items()) or "none"
        of_runs.append([name, mean_return(runs), shown])
    width = max(len(row[-1]) for row in of_runs)
    clean = sum(not run.alarms for runs in healthy.values() for run in runs)
    return [
        *table([[*row[:-1], row[-1].ljust(width)] for row in of_runs]),
        "",
        *table(rows),
        "",
        f"{clean} of {count} healthy runs have no finding (goal: at most {ALARMS:.0%} false alarms "
        "per check)",
        "",
    ]


def is_good(faulty: Runs, healthy: Runs) -> bool:
    """Whether both goals are reached, by what there is."""
    count = sum(map(len, healthy.values()))
    few_alarms = all(n / count <= ALARMS for n in alarms_of(healthy).values())
    return few_alarms and (not faulty or share_of_first(faulty) >= GOAL)
