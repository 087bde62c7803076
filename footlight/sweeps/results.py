"""What a sweep has found: a table, images, and the best values as a file for `--config`."""

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from footlight.errors import StorageFault, UserError, counted, quoted
from footlight.instruments.progress_text import number_text
from footlight.storage.files import replace_text
from footlight.sweeps.running import best, described, how
from footlight.sweeps.study import in_memory
from footlight.sweeps.trials import SweepFolder, Trial

MAX_ROWS = 15
TABLE, IMPORTANCES, SLICES = "trials.csv", "importances.png", "slices.png"


def ordered(trials: list[Trial]) -> list[Trial]:
    """The best first, then those without a value."""
    return sorted(trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0)))


def summary(folder: SweepFolder, known_as: Path) -> str:
    """The best trials, how many ended how, and the next command."""
    trials, spec = ordered(folder.trials()), folder.spec
    states = {state: sum(trial.state == state for trial in trials) for state in
              ("finished", "pruned", "failed", "running")}  # fmt: skip
    counts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    over = f"{spec.objective} of {counted(len(spec.seeds), 'seed')}"
    lines = [f"{'trial':>6}  {over if len(spec.seeds) > 1 else 'return':>17}  values"]
    for trial in trials[:MAX_ROWS]:
        shown = number_text(trial.value) if trial.value is not None else trial.state
        lines.append(f"{trial.number:>6}  {shown:>17}  {described(trial)}")
    if len(trials) > MAX_ROWS:
        lines.append(f"   ... {len(trials) - MAX_ROWS} more in {known_as / TABLE}")
    lines.append(f"{counts or 'no trials'} | folder {known_as}")
    if (first := best(trials)) is not None:
        lines.append(f"next: footlight plot {quoted(known_as / first.path.name)}")
    return "\n".join(lines)


def write_table(folder: SweepFolder) -> None:
    """Write all trials as `trials.csv`. Raises `StorageFault`."""
    spec, trials = folder.spec, ordered(folder.trials())
    names = ["algorithm", *(each.name for each in spec.dimensions)]
    path = folder.path / TABLE
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["trial", "state", "value", *names, "reason"])
            for trial in trials:
                values = [_cell(trial.chosen.get(name, "")) for name in names]
                value = "" if trial.value is None else trial.value
                rows.writerow([trial.number, trial.state, value, *values, trial.reason])
    except OSError as error:
        raise StorageFault(f"cannot write {path} - {error.strerror} - free some space") from error


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


def draw(folder: SweepFolder, notify: Callable[[str], None]) -> list[str]:
    """Draw Optuna's images of what the values have done to the return; the files' names.

    There are none of fewer than four finished trials, or without Optuna.
    """
    trials = [trial for trial in folder.trials() if trial.value is not None]
    if len(trials) < 4:
        return []
    try:
        study = in_memory(folder, trials)
    except UserError:
        notify('no images: Optuna is not installed - `pip install "footlight[optuna]"`')
        return []
    made = []
    for name, function in ((IMPORTANCES, _importances), (SLICES, _slices)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # parts of Optuna that may change
                function(study, folder.path / name)
            made.append(name)
        except (ValueError, RuntimeError) as error:  # such as values that are all the same
            notify(f"{name} was not drawn: {error}")
    return made


def _importances(study: Any, path: Path) -> None:
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    evaluator = PedAnovaImportanceEvaluator()  # the others need scikit-learn
    _save(plot_param_importances(study, evaluator=evaluator), path)


def _slices(study: Any, path: Path) -> None:
    from optuna.visualization.matplotlib import plot_slice

    _save(plot_slice(study), path)


def _save(axes: Any, path: Path) -> None:
    import matplotlib.pyplot as plt
    import numpy as np

    figure = np.ravel(axes)[0].figure
    try:
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except OSError as error:
        raise StorageFault(f"cannot write {path} - {error.strerror} - free some space") from error
    finally:
        plt.close(figure)


def require_new_preset(path: Path) -> None:
    """Raise `UserError` unless the file of the best values can be created."""
    if path.exists():
        raise UserError(f"{path} exists - it is never overwritten - choose another --write-preset")
    if not path.absolute().parent.is_dir():
        raise UserError(f"cannot create {path} - there is no folder {path.parent} - create it")


def write_preset(folder: SweepFolder, path: Path, named: Path, known_as: Path) -> str:
    """Write the values of the best trial as a file for `--config`; the line about it.

    named, known_as: the file and the folder as messages name them. Raises `UserError` where no
    trial has finished.
    """
    trial = best(folder.trials())
    if trial is None:
        raise UserError(f"no trial of {known_as} has finished - there is nothing to write")
    arguments = folder.spec.arguments(trial.chosen)
    algorithm, preset = arguments.pop("algorithm"), arguments.pop("preset")
    del arguments["environment"]
    environment = trial.runs.arguments["environment"]
    command = f"footlight train {algorithm} {quoted(environment)} --config {quoted(named)}"
    if preset is False:
        command += " --no-preset"
    elif preset is not True:
        command += f" --preset {quoted(preset)}"
    count = counted(len(folder.numbers()), "trial")
    of = f"trial {trial.number} of {known_as}, the best of {count}"
    lines = [
        f"# {algorithm} on {environment}: {of}: {how(trial)}",
        f"# {command}",
        *(f"{name} = {_toml(value)}" for name, value in arguments.items()),
    ]
    replace_text(path, "\n".join(lines) + "\n")
    return f"wrote {named}: {command}"


def _toml(value: Any) -> str:
    """A value as TOML, which for numbers, texts and lists is what JSON is."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    return json.dumps(value)
