"""Trains the trials of a sweep, several at a time, until all have ended."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from footlight.api import resume, train
from footlight.config.fields import Range, integer
from footlight.errors import Diverged, EnvironmentFault, UserError, counted
from footlight.instruments.progress_text import number_text
from footlight.machine import all_cores
from footlight.runs.seeds_folder import NAME as SEEDS
from footlight.signals import Interruption
from footlight.sweeps.dimensions import label
from footlight.sweeps.spec import Spec
from footlight.sweeps.study import Study
from footlight.sweeps.trials import SweepFolder, Trial
from footlight.training.children import Ended, can_fork, outcome, run_together
from footlight.training.on_ray import run_on_ray
from footlight.training.ray_cluster import Cluster
from footlight.training.resuming import code_again
from footlight.training.stopping import judged_by

MAX_JOBS, WAIT_SECONDS = 256, 1.0
PRUNED = "pruned: "


def num_jobs(given: int | None, spec: Spec, on_cluster: bool = False) -> int:
    """How many trials are trained at the same time. Raises `UserError`.

    on_cluster: where its CPUs decide that, so that there may be as many as trials.
    """
    if on_cluster:
        return min(integer("jobs", given or MAX_JOBS, Range(1, MAX_JOBS)), spec.trials)
    cores = (spec.values.get("threads") or 1) + (spec.values.get("collectors") or 0)
    usual = max(1, all_cores() // cores) if can_fork() else 1
    jobs = usual if given is None else integer("jobs", given, Range(1, MAX_JOBS))
    if jobs > 1 and not can_fork():
        raise UserError(
            f"jobs is {jobs} - this system cannot fork processes - start the command several "
            "times, which share the folder"
        )
    return min(jobs, spec.trials)


class Worker:
    """Trains one trial after the other, for as long as there are any.

    is_last: it also waits for the trials of others, and takes what they leave if they are killed.
    """

    def __init__(self, folder: SweepFolder, is_last: bool = False) -> None:
        self._folder, self._is_last = folder, is_last

    def __call__(self) -> str:
        """Work; returns the status "finished". Raises what a training raises that has to stop."""
        folder, spec = self._folder, self._folder.spec
        self._start = Path.cwd()
        study = Study(folder) if spec.method == "tpe" else None
        grid = [*spec.grid()] if spec.method == "grid" else []

        def listed(number: int) -> tuple[int, dict[str, Any]]:
            return number, grid[number] if grid else spec.drawn(number)

        suggest = listed if study is None else study.suggest
        while True:
            if (held := folder.claim(suggest)) is not None:
                with held as trial:
                    ended = self._trained(trial, study if spec.prune else None)
                    with folder.claiming():
                        ended.write()
            elif self._is_last and not folder.have_ended():
                time.sleep(WAIT_SECONDS)
            else:
                return "finished"

    def _trained(self, trial: Trial, judge: Study | None) -> Trial:
        """The trial with its outcome. Faults of its runs are one; other errors are raised."""
        spec, values = self._folder.spec, list[float]()
        for position, seed in enumerate(spec.seeds):
            judging = None
            if judge is not None and not position:  # by its first seed alone
                judging = partial(judge.judge, trial.number)
            try:
                with judged_by(judging):
                    self._run(trial, seed)
            except (Diverged, EnvironmentFault) as error:
                kind = "diverged" if isinstance(error, Diverged) else "environment fault"
                return replace(trial, state="failed", reason=f"seed {seed}: {kind}: {error}")
            except UserError as error:
                if not self._is_of_combination(trial, seed):
                    raise
                return replace(trial, state="failed", reason=f"seed {seed}: {error}")
            result = trial.runs.result(seed) or {}
            if (reason := result.get("stop_reason", "")).startswith(PRUNED):
                return replace(trial, state="pruned", reason=reason)
            if (final := result.get("final_evaluation")) is None:
                return replace(trial, state="failed", reason=f"seed {seed}: no final evaluation")
            values.append(final["mean_return"])
        over = fmean if spec.objective == "mean" else median
        return replace(trial, state="finished", value=float(over(values)))

    def _is_of_combination(self, trial: Trial, seed: int) -> bool:
        """Whether an error of a run that could not begin is likely to be one of its values: others
        could begin."""
        if trial.runs.has_begun(seed):
            return False
        begun = (each for each in self._folder.trials() if (each.path / SEEDS).is_file())
        return any(each.runs.has_begun(seed) for each in begun for seed in each.runs.seeds)

    def _run(self, trial: Trial, seed: int) -> None:
        runs, environment = trial.runs, self._folder.spec.environment
        os.chdir(self._start)  # which the environment of an earlier run may have changed
        if runs.has_ended(seed):
            return
        if runs.has_begun(seed):
            again = code_again(trial.chosen["algorithm"], environment, {})
            resume(runs.run(seed), quiet=True, **again)
        else:
            arguments = self._folder.spec.arguments(trial.chosen)
            train(run_dir=runs.run(seed), seed=seed, quiet=True, **arguments)


class Progress:
    """Prints a line for each trial that ends, also for those of other processes."""

    def __init__(self, folder: SweepFolder, notify: Callable[[str], None]) -> None:
        self.notify, self._folder = notify, folder
        self._ended = {trial.number for trial in folder.trials() if trial.state != "running"}
        self._best = best(folder.trials())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: Any) -> None:
        self.refresh()

    def update_run(self, key: int, message: Mapping[str, Any]) -> None:
        """Ignore what single runs report."""

    def end_run(self, key: int, state: str) -> None:
        """Ignore that a worker has ended."""

    def refresh(self) -> None:
        """Print what has ended since the last call."""
        for number in self._folder.numbers():
            if number in self._ended:
                continue
            with contextlib.suppress(UserError):
                trial = self._folder.read(number)
                if trial.state != "running":
                    self._ended.add(number)
                    self._show(trial)

    def _show(self, trial: Trial) -> None:
        new_best = best([trial, *([self._best] if self._best else [])])
        mark = " (best so far)" if new_best is trial else ""
        self._best = new_best
        of = f"trial {trial.number}, {len(self._ended)} of {self._folder.spec.trials}"
        self.notify(f"{of}: {described(trial)}: {how(trial)}{mark}")


def best(trials: list[Trial]) -> Trial | None:
    """The finished trial with the highest value; the first of several."""
    finished = [trial for trial in trials if trial.value is not None]
    return max(finished, key=lambda trial: trial.value or 0.0, default=None)


def described(trial: Trial) -> str:
    """What the search has chosen, in one line."""
    values = {name: value for name, value in trial.chosen.items() if name != "algorithm"}
    shown = [
        f"{name} {number_text(value) if isinstance(value, float) else label(value)}"
        for name, value in values.items()
    ]
    return ", ".join([trial.chosen["algorithm"], *shown])


def how(trial: Trial) -> str:
    """How a trial has ended."""
    if trial.value is not None:
        return number_text(trial.value)
    return trial.reason if trial.state == "pruned" else f"{trial.state}: {trial.reason}"


def work_together(
    folder: SweepFolder, jobs: int, progress: Progress, interruption: Interruption,
    cluster: Cluster | None = None,
) -> list[Ended]:  # fmt: skip
    """Let so many workers train until no trial is left, or until a signal.

    cluster: where they do; None: here.
    """
    worker = Worker(folder, is_last=cluster is not None)
    if cluster is None and not can_fork():
        with progress, interruption.installed(progress.notify):
            return [outcome(worker)]
    calls = dict.fromkeys(range(jobs), worker)
    display: Any = progress
    if cluster is not None:
        made = run_on_ray(cluster, calls, jobs, display, interruption, are_alike=True)
        return [*made.values()]
    return [*run_together(calls, jobs, display, interruption).values()]


def plan(folder: SweepFolder, jobs: int, cluster: Cluster | None = None) -> str:
    """The line about what is to be done."""
    spec = folder.spec
    ended = sum(trial.state != "running" for trial in folder.trials())
    seeds = f" of {counted(len(spec.seeds), 'seed')} each" if len(spec.seeds) > 1 else ""
    so_far = f", {ended} of which have ended" if ended else ""
    where = f"{jobs} at a time on {counted(all_cores(), 'core')}"
    if cluster is not None:
        where = f"at most {jobs} at a time on a Ray cluster of {cluster}"
    return f"sweep by {spec.method}: {counted(spec.trials, 'trial')}{seeds}{so_far}, {where}"
