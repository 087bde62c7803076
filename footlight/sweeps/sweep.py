"""A sweep from its file to its table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from footlight.environments.source import EnvironmentLike
from footlight.errors import UserError
from footlight.instruments.progress import Display
from footlight.runs.folder import shown
from footlight.signals import Interruption
from footlight.storage.files import user_path
from footlight.sweeps import results
from footlight.sweeps.running import (
    Progress,
    best,
    num_jobs,
    plan,
    work_together,
)
from footlight.sweeps.spec import Spec, read_file, read_spec, with_trials
from footlight.sweeps.study import require_optuna
from footlight.sweeps.trials import SweepFolder, Trial, sweep_path
from footlight.training.ray_cluster import connected
from footlight.training.seeds import require_no_error


class Sweep:
    """A sweep that has ended or was stopped: its trials, and the best of them."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self.path = folder.path
        """The folder with one folder for each trial."""

    @property
    def trials(self) -> list[Trial]:
        """All trials that have begun, by number. Raises `UserError` for damaged files."""
        return self._folder.trials()

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest value; None if there is none."""
        return best(self.trials)


def sweep(
    spec: str | Path | Mapping[str, Any],
    *,
    environment: EnvironmentLike | None = None,
    run_dir: str | Path | None = None,
    jobs: int | None = None,
    trials: int | None = None,
    ray: str | None = None,
    write_preset: str | Path | None = None,
    quiet: bool = False,
) -> Sweep:
    """Train many runs whose values are searched, as `footlight sweep` does.

    spec: a TOML file, or its content: which fields are searched, and how (docs/sweeps.md).
    environment: takes the place of the file's; may be an object, a function or FILE.py:NAME.
    run_dir: the folder of the sweep, new or of this very sweep, which is then continued; by default
        `runs/sweeps/NAME` with the file's name. jobs: trials at a time; None: one for each core.
    trials: how many in all; None: as the file says. write_preset: a new file for the best values.
    ray: train on a Ray cluster: "local", or HOST:PORT (docs/scale.md), where `jobs` only limits.

    Each trial is a folder of ordinary runs with the numbers that they have by themselves. A run
    that diverges or whose environment fails is a result; other errors of `train` are raised.
    Raises `UserError` before anything is created, and `KeyboardInterrupt` once all is saved.
    """
    start, found = Path.cwd(), _read(spec, environment, trials)
    preset_file = None if write_preset is None else Path(start, user_path(write_preset))
    if preset_file is not None:
        results.require_new_preset(preset_file)
    jobs = num_jobs(jobs, found, ray is not None)
    name = "sweep" if isinstance(spec, Mapping) else user_path(spec).stem
    folder = SweepFolder(sweep_path(run_dir, name, start), found)
    known_as = shown(folder.path, start, run_dir)
    display, interruption = Display(0, quiet=quiet), Interruption()
    threads, device = (found.values.get(name) for name in ("threads", "device"))
    sent = {"environment": found.environment}
    with connected(ray, folder.path, threads, device or "cpu", sent) as cluster:
        folder.open()
        display.notify(plan(folder, jobs, cluster))
        progress = Progress(folder, display.notify)
        ended = work_together(folder, jobs, progress, interruption, cluster)
    _conclude(folder, known_as, display.notify)
    if (number := interruption.signal) is not None:
        raise interruption.exit_exception(number, "stopped - the same command continues")
    require_no_error(ended)
    if preset_file is not None:
        _require_all_ended(folder, known_as)
        named = shown(preset_file, start, write_preset)
        display.notify(results.write_preset(folder, preset_file, named, known_as))
    return Sweep(folder)


def _read(spec: str | Path | Mapping[str, Any], environment: Any, trials: int | None) -> Spec:
    """The sweep that a file or a mapping describes. Raises `UserError`."""
    if isinstance(spec, Mapping):
        found, where = read_spec(spec, "the sweep", environment), "the sweep"
    else:
        found, where = read_file(user_path(spec), environment), str(spec)
    if found.method == "tpe":
        require_optuna()
    return found if trials is None else with_trials(found, trials, where)


def _conclude(folder: SweepFolder, known_as: Path, notify: Callable[[str], None]) -> None:
    """Write the table and the images, and print the best trials."""
    if not folder.numbers():
        folder.remove()
        return
    results.write_table(folder)
    images = results.draw(folder, notify)
    notify(results.summary(folder, known_as))
    if images:
        notify(f"images: {', '.join(str(known_as / each) for each in images)}")


def _require_all_ended(folder: SweepFolder, known_as: Path) -> None:
    if running := [trial.number for trial in folder.trials() if trial.state == "running"]:
        raise UserError(
            f"trial {running[0]} of {known_as} is in progress elsewhere - the best values are not "
            "known yet - give --write-preset again when all trials have ended"
        )
