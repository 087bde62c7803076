"""Scores of finished runs in the layout of rliable, and their interquartile mean.

Source: Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), "Deep Reinforcement Learning at
the Edge of the Statistical Precipice", https://arxiv.org/abs/2108.13264.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footlight.config.suggestions import closest
from footlight.errors import UserError, warn
from footlight.instruments.groups import Member, find_members, group

Floats = npt.NDArray[np.float64]
_CELLS = 10_000_000  # of resampled scores in memory at once


class Interval(NamedTuple):
    """An interquartile mean and its 95 % interval: numbers, or arrays [checkpoints]."""

    mean: Any
    low: Any
    high: Any


class Scores(dict[str, Floats]):
    """Scores by algorithm, [runs, environments] or [runs, environments, checkpoints]."""

    def __init__(
        self, arrays: Mapping[str, Floats], environments: tuple[str, ...],
        seeds: Mapping[str, tuple[int, ...]], steps: tuple[int, ...] | None,
    ) -> None:  # fmt: skip
        super().__init__(arrays)
        self.environments = environments
        """Names of the environments, in the order of the second axis."""
        self.seeds = dict(seeds)
        """Seeds of each algorithm, in the order of the first axis."""
        self.steps = steps
        """The steps that were asked for, in the order of the third axis; None: final scores."""

    def interquartile_mean(self, repetitions: int = 2_000, seed: int = 0) -> dict[str, Interval]:
        """The mean of the middle half of all scores, with a stratified bootstrap interval.

        A repetition resamples the runs of each environment with replacement. Scores of different
        environments have to be normalized to be averaged. Raises `UserError` for a single run.
        """
        return {
            name: bootstrap_interval(name, array, repetitions, np.random.default_rng(seed))
            for name, array in self.items()
        }


def scores(
    runs: Any,
    *,
    at: int | Sequence[int] | None = None,
    normalize: Mapping[str, tuple[float, float]] | None = None,
    label: str | Sequence[str] | None = None,
) -> Scores:
    """Mean evaluation returns of runs, as the functions of rliable take them.

        scores = footlight.scores("runs", normalize={"Pendulum-v1": (-1200, -150)})
        scores["sac"].shape                     # (seeds, environments)
        scores.interquartile_mean()["sac"]      # mean, low, high
        rliable.library.get_interval_estimates(scores, lambda x: ..., reps=50_000)

    runs: run folders, folders of runs, `Run` objects, or one of these.
    at: environment steps of the evaluations. One step gives [runs, environments], several give
        [runs, environments, checkpoints]; None takes the final evaluations.
    normalize: the scores that become 0 and 1, by environment; by default returns are raw.
    label: names for the inputs, as in `footlight.plot`. By default runs are grouped by algorithm,
        and by the fields that differ between runs of one algorithm in one environment.

    Raises `UserError` if an evaluation is missing, or if algorithms lack seeds in an environment.
    """
    names = [label] if isinstance(label, str) else label
    members, left = find_members(runs, names, warn)
    if left is not None:
        raise UserError(
            f"{len(left)} labels were given for another number of inputs - give one for each"
        )
    table = _table(members)
    environments = tuple(sorted({environment for _, environment in table}))
    _require_bounds(normalize, environments)
    steps = None if at is None else ((at,) if isinstance(at, int) else tuple(at))
    arrays, seeds = {}, {}
    for name in dict.fromkeys(name for name, _ in table):
        seeds[name] = _seeds(name, table, environments)
        columns = [_column(table[name, each], steps) for each in environments]  # [R, checkpoints]
        if normalize is not None:
            columns = [
                (column - normalize[each][0]) / (normalize[each][1] - normalize[each][0])
                for column, each in zip(columns, environments, strict=True)
            ]
        values = np.stack(columns, axis=1)
        arrays[name] = values if isinstance(at, Sequence) else values[..., 0]
    return Scores(arrays, environments, seeds, steps)


def _table(members: Sequence[Member]) -> dict[tuple[str, str], dict[int, Member]]:
    """The runs by label and environment, and there by seed."""
    table: dict[tuple[str, str], dict[int, Member]] = {}
    for environment in dict.fromkeys(str(each.run.config["environment"]) for each in members):
        own = [each for each in members if each.run.config["environment"] == environment]
        groups = group(own)
        algorithms = [each[0].run.config["algorithm"] for each in groups.values()]
        for (label, runs), algorithm in zip(groups.items(), algorithms, strict=True):
            name = label if runs[0].label is not None or algorithms.count(algorithm) > 1 else None
            cell = table.setdefault((name or algorithm, environment), {})
            for run in runs:
                seed = int(run.run.config["seed"])
                if seed in cell:
                    raise UserError(
                        f"{run.run.folder} repeats seed {seed} of {cell[seed].run.folder} - runs "
                        "of one seed are not independent - give one of them"
                    )
                cell[seed] = run
    return table


def _seeds(
    name: str, table: Mapping[tuple[str, str], Mapping[int, Member]], environments: Sequence[str]
) -> tuple[int, ...]:
    """The seeds of an algorithm, which are the same in all environments."""
    of_each = {each: sorted(table.get((name, each), {})) for each in environments}
    wanted = sorted({seed for seeds in of_each.values() for seed in seeds})
    for environment, seeds in of_each.items():
        if seeds != wanted:
            lacking = ", ".join(str(seed) for seed in wanted if seed not in seeds)
            raise UserError(
                f"{name} has no run with seed {lacking} in {environment} - each environment needs "
                "the same seeds - train them, or leave out the others"
            )
    return tuple(wanted)


def _column(runs: Mapping[int, Member], steps: Sequence[int] | None) -> Floats:
    """The scores [R, checkpoints] of one algorithm in one environment, by seed."""
    ordered = [runs[seed] for seed in sorted(runs)]
    if steps is not None:
        return np.array([[_score_at(each, step) for step in steps] for each in ordered], np.float64)
    final = [_final(each) for each in ordered]
    if len(ends := sorted({step for step, _ in final})) > 1:
        raise UserError(
            f"runs such as {ordered[0].run.folder} ended after {', '.join(map(str, ends))} steps - "
            "their final scores cannot be compared - give `at`, or resume the shorter ones"
        )
    return np.array([[score] for _, score in final], np.float64)


def _final(member: Member) -> tuple[int, float]:
    """Step and score of the final evaluation."""
    result, folder = member.run.result, member.run.folder
    evaluation = (result or {}).get("final_evaluation")
    if result is None or evaluation is None:
        raise UserError(
            f"{folder} has no final evaluation - it has not finished, or was not evaluated - "
            "resume it, or give `at`"
        )
    return int(result["steps"]), _checked(member, evaluation.get("mean_return"))


def _score_at(member: Member, step: int) -> float:
    """The score of the evaluation at `step`: several environments step over it by up to E - 1."""
    # Of two rows at one step, the later one counts: it is from a resumed run
    rows = {int(row["step"]): row for row in member.run.evaluations}
    width = max(int(member.run.config.get("num_envs", 1)), 1)
    found = next((rows[each] for each in sorted(rows) if step <= each < step + width), None)
    if found is None:
        known = ", ".join(map(str, sorted(rows))) or "none"
        raise UserError(
            f"{member.run.folder} has no evaluation at step {step} - it has some at: "
            f"{known:.200} - give one of these, or train with eval_every"
        )
    return _checked(member, found.get("mean_return"))


def _checked(member: Member, value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(
            f"{member.run.folder} has an evaluation without a finite mean return - it diverged - "
            "leave it out, and say so"
        )
    return float(value)


def _require_bounds(
    normalize: Mapping[str, tuple[float, float]] | None, environments: Sequence[str]
) -> None:
    for name in environments if normalize is not None else ():
        assert normalize is not None
        if name not in normalize:
            raise UserError(
                f"normalize has no bounds for {name}{closest(name, normalize)} - give (low, high) "
                "for each environment"
            )
        low, high = normalize[name]
        if not (math.isfinite(low) and math.isfinite(high) and low != high):
            raise UserError(
                f"the bounds of {name} are {low} and {high} - scores are divided by their "
                "difference - give two different, finite numbers"
            )


def bootstrap_interval(
    name: str, scores_RTC: Floats, repetitions: int, stream: np.random.Generator
) -> Interval:
    """The interquartile mean over runs and tasks, with its 95 % stratified bootstrap interval.

    name: of the algorithm, for the error. Raises `UserError` for a single run.
    """
    num_runs, num_tasks = scores_RTC.shape[:2]
    if num_runs < 2:
        raise UserError(
            f"{name} has one run - an interval needs several - train it with other seeds"
        )
    drawn: list[Floats] = []
    chunk = max(_CELLS // scores_RTC.size, 1)
    for start in range(0, repetitions, chunk):
        count = min(chunk, repetitions - start)
        index = stream.integers(num_runs, size=(count, num_runs, num_tasks))
        drawn.append(_iqm(scores_RTC[index, np.arange(num_tasks)], 1))
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5], axis=0)
    found = _iqm(scores_RTC, 0), low, high
    return Interval(*(float(each) if each.ndim == 0 else each for each in found))


def _iqm(values: Floats, axis: int) -> Any:
    """The interquartile mean over runs and environments, the axes `axis` and `axis` + 1.

    As in section 4.3 of Agarwal et al.: a quarter of the scores, rounded down, is left out at
    either end.
    """
    shape = *values.shape[:axis], -1, *values.shape[axis + 2 :]
    ordered = np.sort(values.reshape(shape), axis=axis)
    cut, total = ordered.shape[axis] // 4, ordered.shape[axis]
    return ordered.take(range(cut, total - cut), axis=axis).mean(axis=axis)
