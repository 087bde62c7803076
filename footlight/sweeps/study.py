"""Optuna's part in a sweep: which values a trial gets, and which trials are pruned.

The study is kept in Optuna's journal beside the trials, where several processes share it and
Optuna's dashboard can read it. What was trained is decided by the trials' folders: a study that a
kill has left behind them is brought up to date before it is asked.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

from footlight.errors import UserError, summarize_error
from footlight.storage.system import lock_file, open_file
from footlight.streams import derived_seed
from footlight.sweeps.dimensions import Between, Dimension, plain
from footlight.sweeps.spec import Chosen
from footlight.sweeps.trials import SweepFolder, Trial

JOURNAL, STUDY = "study.log", "footlight"


def require_optuna() -> Any:
    """Optuna, imported. Raises `UserError` if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            'method "tpe" needs Optuna, which is not installed - `pip install "footlight[optuna]"`'
            ', or method = "random"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class _JournalLock:
    """Optuna's lock of its journal, released by the system when a process is killed."""

    def __init__(self, path: str) -> None:
        self._path, self._descriptor = path, -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._descriptor = open_file(self._path, os.O_RDWR | os.O_CREAT)  # type: ignore[arg-type]
        lock_file(self._descriptor, wait=True)
        return True

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings: of parts that may change, and of values reported again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _mend(path: str, lock: _JournalLock) -> None:
    """Cut off an incomplete last line, as a full disk leaves it: the next one would join it."""
    lock.acquire()
    try:
        with contextlib.suppress(FileNotFoundError), open(path, "rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn what Optuna raises for its journal into `UserError`."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({summarize_error(error):.100}) - restore it from a copy, or "
            "choose another folder"
        ) from error


class Study:
    """Suggests the values of trials with a tree-structured Parzen estimator (Bergstra et al. 2011),
    and ends those that are worse than the median of the others at the same step."""

    def __init__(self, folder: SweepFolder) -> None:
        self._optuna, self._folder = require_optuna(), folder
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        path = str(folder.path / JOURNAL)
        with _quiet(), _readable(path):
            lock: Any = _JournalLock(f"{path}.lock")
            _mend(path, lock)
            storage = JournalStorage(JournalFileBackend(path, lock_obj=lock))
            self._study = self._optuna.create_study(
                storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True,
                pruner=self._optuna.pruners.MedianPruner(),
            )  # fmt: skip

    def suggest(self, free: int) -> tuple[int, Chosen]:
        """The number and the values of a new trial. Call it while no other process claims one.

        With the same earlier results it always returns the same.
        """
        self._catch_up()
        with _quiet():
            seed = derived_seed(self._folder.spec.seed, "sweep", free)
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
            trial = self._study.ask()
            return trial.number, suggested(trial, self._folder)

    def _catch_up(self) -> None:
        """Tell Optuna how the trials have ended of which it does not know that yet."""
        known = {trial.number: trial for trial in self._folder.trials()}
        running = self._optuna.trial.TrialState.RUNNING
        with _quiet():
            for each in self._study.get_trials(deepcopy=False, states=(running,)):
                trial = known.get(each.number)
                if trial is None:  # its process was killed before it had a folder
                    self._tell(each.number, "failed", None)
                elif trial.state != "running":
                    self._tell(each.number, trial.state, trial.value)

    def _tell(self, number: int, state: str, value: float | None) -> None:
        states = self._optuna.trial.TrialState
        kinds = {"finished": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
        given = value if state == "finished" else None
        self._study.tell(number, given, state=kinds[state], skip_if_finished=True)

    def judge(self, number: int, step: int, value: float) -> str | None:
        """Note the value that a trial has at a step; a reason to end it, or None."""
        with _quiet():
            frozen = self._study.get_trials(deepcopy=False)[number]
            trial = self._optuna.trial.Trial(self._study, frozen._trial_id)
            if step not in frozen.intermediate_values:
                trial.report(value, step)
            if not trial.should_prune():
                return None
        return f"pruned: at step {step:,} worse than the median of other trials"


def suggested(trial: Any, folder: SweepFolder) -> Chosen:
    """The values that Optuna suggests for a trial of its own."""
    spec = folder.spec
    algorithm = spec.algorithms[0]
    if len(spec.algorithms) > 1:
        algorithm = trial.suggest_categorical("algorithm", spec.algorithms)
    own = spec.dimensions_of(algorithm)
    return {"algorithm": algorithm, **{each.name: _suggested(trial, each) for each in own}}


def _suggested(trial: Any, of: Dimension) -> Any:
    if not isinstance(of, Between):
        chosen = trial.suggest_categorical(of.name, [plain(value) for value in of.values])
        return next(value for value in of.values if plain(value) == chosen)
    suggest = trial.suggest_int if of.is_integer else trial.suggest_float
    return suggest(of.name, of.low, of.high, log=of.log)


def in_memory(folder: SweepFolder, trials: list[Trial]) -> Any:
    """The finished trials as a study of Optuna's, whatever has suggested them."""
    optuna, spec = require_optuna(), folder.spec
    kinds = optuna.distributions
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        if trial.value is None:
            continue
        values = {name: trial.chosen[name] for name in trial.chosen if name != "algorithm"}
        own = {each.name: each for each in spec.dimensions_of(trial.chosen["algorithm"])}
        if len(spec.algorithms) > 1:
            own["algorithm"] = spec.algorithm
            values["algorithm"] = trial.chosen["algorithm"]
        params, distributions = dict[str, Any](), dict[str, Any]()
        for name, dimension in own.items():
            if isinstance(dimension, Between):
                kind = kinds.IntDistribution if dimension.is_integer else kinds.FloatDistribution
                distributions[name] = kind(dimension.low, dimension.high, log=dimension.log)
                params[name] = values[name]
            else:
                choices = [plain(value) for value in dimension.values]
                distributions[name] = kinds.CategoricalDistribution(choices)
                params[name] = plain(values[name])
        study.add_trial(
            optuna.trial.create_trial(value=trial.value, params=params, distributions=distributions)
        )
    return study
