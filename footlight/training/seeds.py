"""The runs of several seeds: which, how many at a time, and what is said of them in the end."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from footlight.config.fields import Range, integer
from footlight.config.options import Options
from footlight.errors import (
    Diverged,
    EnvironmentFault,
    FootlightError,
    StorageFault,
    UserError,
    counted,
    quoted,
)
from footlight.instruments.curves import mean_interval
from footlight.instruments.progress_text import number_text
from footlight.instruments.several import SeveralRuns
from footlight.machine import all_cores
from footlight.runs.seeds_folder import SeedsFolder, read_seeds
from footlight.signals import Interruption
from footlight.streams import MAX_SEED
from footlight.training.children import Call, Ended, can_fork, outcome, run_together
from footlight.training.on_ray import run_on_ray
from footlight.training.ray_cluster import Cluster


class HasResult(Protocol):
    """A run that has ended or was stopped."""

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of its `result.json`."""


FIRST_SIGNAL = 128  # exit codes of a process that a signal has stopped are larger
MAX_SEEDS = 256  # each a process with three open files of the one that starts it
_BY_CODE: Mapping[int, type[FootlightError]] = {
    error.exit_code: error for error in (UserError, EnvironmentFault, Diverged, StorageFault)
}


def parse_seeds(given: int | str | Sequence[int], first: int | None) -> tuple[int, ...]:
    """The seeds that a number of seeds or a list stands for. Raises `UserError`.

    given: 5, or "5": five seeds from `first` on (None: from 0 on); [3, 4, 7], "3 4 7" or "[3]":
    these.
    """
    numbers: Any = given
    if isinstance(given, str):
        words = re.sub(r"[\[\](),]", " ", given).split()
        if not words or not all(re.fullmatch(r"-?\d+", word) for word in words):
            raise UserError(f"seeds is {given!r:.80} - give a number of seeds, or several seeds")
        is_list = len(words) > 1 or not given.strip().lstrip("-").isdigit()
        numbers = [int(word) for word in words] if is_list else int(words[0])
    if not isinstance(numbers, list | tuple | range | np.ndarray):
        count = integer("seeds", numbers, Range(1, MAX_SEEDS))
        start = first or 0
        numbers = range(start, start + count)
    elif first is not None:
        raise UserError(f"seed is {first}, but seeds names each seed - leave seed out")
    seeds = tuple(integer("seeds", number, Range(0, MAX_SEED)) for number in numbers)
    if not seeds or len(seeds) > MAX_SEEDS or len({*seeds}) < len(seeds):
        raise UserError(
            f"seeds has {counted(len(seeds), 'seed')}, {len({*seeds})} of them different - "
            f"give 1 to {MAX_SEEDS:,} different ones"
        )
    return seeds


def num_together(seeds: int, cores: int) -> int:
    """How many of the runs train at the same time: about one for each core.

    cores: that each run uses. With more there are fewer runs. With one each, up to three share two
    cores, if fewer cores are idle in the end: three runs on two cores take as long as one and a
    half, and not as long as two.
    """
    if not can_fork():
        return 1
    at_once = max(1, all_cores() // cores)
    shared = math.ceil(seeds / max(1, seeds // at_once))
    is_crowded = cores > 1 or shared > math.ceil(1.5 * at_once)
    return min(seeds, at_once if is_crowded else shared)


def how_together(together: int, seeds: int) -> str:
    """The line that says how the runs are trained."""
    if not can_fork():
        return f"{counted(seeds, 'run')}, one after another: this system cannot fork processes"
    if together == 1:
        return f"{counted(seeds, 'run')}, one after another"
    return (
        f"{counted(seeds, 'run')}, {together} at a time on {counted(all_cores(), 'core')}, each in "
        "a process of its own"
    )


def train_together(
    folder: SeedsFolder,
    seeds: Sequence[int],
    train_one: Callable[[int], HasResult],
    options: Options,
    known_as: Path,
    quiet: bool,
    is_new: bool = False,
    cluster: Cluster | None = None,
) -> None:
    """Train the runs of these seeds, plot them, and print how they ended.

    train_one: trains or resumes the run of a seed. known_as: the folder as messages name it.
    is_new: the folder was made for these runs, and is removed if none begins. cluster: where they
    train; None: here.
    Raises the error of the first run that has failed, or a signal's exception.
    """
    if cluster is None and options.device == "cuda":
        _require_unused_gpu(folder, is_new)
    display = SeveralRuns(seeds, options.steps, quiet)
    interruption = Interruption(options.max_time)
    # Also of a resumed run that begins only now: its share of the cores, and with it its number of
    # threads, is the same as without the interruption
    together = num_together(len(folder.seeds), (options.threads or 1) + (options.collectors or 0))
    if cluster is None:
        display.notify(how_together(min(together, len(seeds)), len(seeds)))
    calls = {seed: partial(_status, train_one, seed) for seed in seeds}
    if cluster is not None:
        display.notify(f"{counted(len(seeds), 'run')} on a Ray cluster of {cluster}")
        ended = run_on_ray(cluster, calls, len(seeds), display, interruption)
    elif can_fork():
        ended = run_together(calls, together, display, interruption)
    else:
        ended = _run_one_by_one(calls, interruption)
    if any(folder.run(seed).exists() for seed in folder.seeds):
        whole = read_seeds(folder.path)  # also earlier seeds, which the plot has, too
        display.notify(summary(whole, known_as, _plotted(folder, known_as)))
    elif is_new:
        folder.remove()
    failure = failure_of(ended, len(seeds))
    if (number := interruption.signal) is not None:
        if failure is not None:  # which the signal's exception would hide
            display.notify(str(failure))
        raise interruption.exit_exception(number, f"stopped - footlight resume {quoted(known_as)}")
    if failure is not None:
        raise failure


def _require_unused_gpu(folder: SeedsFolder, is_new: bool) -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        if is_new:
            folder.remove()
        raise UserError(
            "this process has used the GPU, which its forks then cannot - train the seeds from a "
            "program that has not, such as the command line"
        )


def _run_one_by_one(calls: Mapping[int, Call], interruption: Interruption) -> dict[int, Ended]:
    """Like `run_together`, but in this process, for systems that cannot fork."""
    ended: dict[int, Ended] = {}
    for seed, call in calls.items():
        ended[seed] = outcome(call)
        if ended[seed].code > FIRST_SIGNAL:
            interruption.signal = ended[seed].code - FIRST_SIGNAL
        if interruption.should_stop() or ended[seed].is_of_all:
            break
    return ended


def _status(train_one: Callable[[int], HasResult], seed: int) -> str:
    return str((train_one(seed).result or {})["status"])


def _plotted(folder: SeedsFolder, known_as: Path) -> Path | None:
    """The file with the learning curves; None if there is nothing to plot yet."""
    from footlight.instruments.plot import plot_runs  # Matplotlib takes a second

    try:
        plot_runs(folder.path, folder.path / "curve.png")
    except (UserError, StorageFault):
        return None
    return known_as / "curve.png"


def summary(folder: SeedsFolder, shown: Path, plotted: Path | None) -> str:
    """A row for each run, the mean over them, and the next command.

    shown: the folder as messages name it. plotted: the file with the curves, if there is one.
    """
    rows, returns = [], list[float]()
    for seed in folder.seeds:
        status, step = folder.state(seed)
        result = None if status in ("not begun", "interrupted") else folder.result(seed)
        final = result["final_evaluation"] if result else None
        score = "-" if final is None else _score(final)
        returns += [] if final is None else [float(final["mean_return"])]
        rows.append(f"{seed:>10}  {status:<11}  {step:>11,}  {score}")
    head = f"{'seed':>10}  {'status':<11}  {'steps':>11}  final evaluation"
    lines = [head, *rows, _mean(returns), f"folder {shown}"]
    name = quoted(shown)
    if plotted is not None:
        lines[-1] += f", curves {plotted}"
    if not all(map(folder.has_ended, folder.seeds)):
        lines.append(f"next: footlight resume {name}")
    else:
        first = quoted(shown / folder.run(folder.seeds[0]).name)
        lines.append(f"next: footlight plot {name}   or: footlight evaluate {first}")
    return "\n".join(lines)


def _score(evaluation: Mapping[str, Any]) -> str:
    episodes = counted(len(evaluation["returns"]), "episode")
    mean, deviation = evaluation["mean_return"], evaluation["std_return"]
    return f"{number_text(mean)} ± {number_text(deviation)} over {episodes}"


def _mean(returns: Sequence[float]) -> str:
    """The mean over seeds with its 95 % interval (Student's t)."""
    if not returns:
        return "no final evaluations"
    over = f"over {counted(len(returns), 'seed')}"
    if len(returns) == 1:
        return f"final evaluation {number_text(returns[0])} {over}"
    mean, half = (float(values[0]) for values in mean_interval(np.array(returns)[:, None]))
    low, high = number_text(mean - half), number_text(mean + half)
    return f"mean final evaluation {number_text(mean)} {over}, 95 % interval [{low}, {high}]"


def require_no_error(ended: Sequence[Ended]) -> None:
    """Raise the first error of workers that have ended."""
    for each in ended:
        if each.error is not None:
            raise _error_of(each, each.error)


def _error_of(ended: Ended, text: str) -> Exception:
    error = _BY_CODE.get(ended.code, RuntimeError)(text)
    if ended.trace:
        error.add_note(ended.trace)
    return error


def failure_of(ended: Mapping[int, Ended], num_runs: int) -> Exception | None:
    """The error of the first of the runs that has failed, saying which did."""
    failed = {seed: each for seed, each in ended.items() if each.error is not None}
    if not failed:
        return None
    first, what = next(iter(failed.values())), ""
    if not first.is_of_all or len(failed) < len(ended):
        seeds = ", ".join(map(str, failed))
        what = f"{len(failed)} of {counted(num_runs, 'run')} failed (seed {seeds}) - "
    return _error_of(first, f"{what}{first.error}")
