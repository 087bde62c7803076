"""Methods x environments x seeds: one table of evaluations, and its learning curves.

    python benchmarks/mujoco_suite.py sac td3 "sac:learning_rate=1e-3" sb3-sac \
        --environments HalfCheetah-v5 Walker2d-v5 --seeds 5 --steps 100000 \
        --peer-python peers/bin/python

A METHOD is an algorithm of footlight or a peer (sb3-sac, sb3-tqc), with values after a colon that
override the preset (NAME:field=value,field=value). The peers' own values are those of most presets
of sac; a preset with others, such as sac's learning rate of 1e-3 on HalfCheetah-v5, is compared
with sb3-sac:learning_rate=1e-3. Interrupt it whenever you like: the
same command resumes unfinished runs and skips those that the table has.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import gymnasium
from mujoco_runs import PEERS, Job, split_method
from mujoco_tables import Table, publish_all
from report import HERE, add_peer_python, positive, progress

from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import build
from footlight.config.options import Options
from footlight.errors import UserError, describe_error

TASKS = ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "Swimmer-v5", "Walker2d-v5")
EVALUATIONS = 20  # of a run, unless --eval-every says otherwise
POLL_SECONDS = 0.2
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


def read_arguments() -> argparse.Namespace:
    """The command line. Exits with code 2 and one line for what is not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("methods", nargs="*", metavar="METHOD", help="NAME[:field=value,...], sb3-sac or sb3-tqc")
    add("--environments", nargs="+", default=TASKS, metavar="ID", help="default: MuJoCo's -v5")
    add("--seeds", type=positive, default=5, metavar="N", help="how many seeds (default: 5)")
    add("--first-seed", type=int, default=1, metavar="K", help="seeds K, K + 1, ... (default: 1)")
    add("--steps", type=positive, default=1_000_000, metavar="N", help="environment steps of a run")
    add("--eval-every", type=positive, metavar="N", help="default: a twentieth of the steps")
    cores = len(os.sched_getaffinity(0))
    add("--processes", type=positive, default=cores, metavar="N", help="runs at a time, of one "
        "thread each (default: one for each core)")  # fmt: skip
    add("--work", type=Path, default=Path("runs/mujoco"), metavar="DIR", help="folder of the runs")
    add("--results", type=Path, default=HERE / "results", metavar="DIR", help="folder of the table "
        "and the images")  # fmt: skip
    add("--csv-only", action="store_true", help="collect and draw what there is; train nothing")
    add_peer_python(parser)
    arguments = parser.parse_args()
    if not (arguments.methods or arguments.csv_only):
        parser.error("give at least one METHOD, or --csv-only")
    arguments.every = arguments.eval_every or max(arguments.steps // EVALUATIONS, 1)
    try:
        for method in arguments.methods:
            require_method(method)
        for environment in arguments.environments:
            require_environment(environment)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return arguments


def require_method(method: str) -> None:
    """Raise `UserError` for anything but a peer, or an algorithm and fields of its config."""
    name, fields = split_method(method)
    if name in PEERS:
        require_values_of_peer(method)
        return
    if name not in ALGORITHMS:
        there_are = ", ".join([*ALGORITHMS, *PEERS])
        raise UserError(f"unknown method {method!r} - there are {there_are}")
    values = {field: value for field, value in fields.items() if field != "num_envs"}
    try:
        build(config_class(name), values)
        build(Options, {key: fields[key] for key in fields.keys() - values.keys()})
    except UserError as error:
        raise UserError(f"{method}: {error}") from error


def require_values_of_peer(method: str) -> None:
    """Raise `UserError` for fields that the peer is not given, and values that are no numbers."""
    name, fields = split_method(method)
    known = PEERS[name][2]
    if unknown := sorted(fields.keys() - known.keys()):
        raise UserError(f"{method}: unknown field {unknown[0]!r} - there are {', '.join(known)}")
    for field, value in fields.items():
        try:
            float(json.loads(value))
        except (TypeError, ValueError) as error:
            raise UserError(f"{method}: {field} is {value!r} - it must be a number") from error


def require_environment(environment: str) -> None:
    """Raise `UserError` for an id that is not registered."""
    try:
        gymnasium.spec(environment)
    except (gymnasium.error.Error, ImportError) as error:
        raise UserError(
            f"unknown environment {environment!r} ({describe_error(error)}) - there are "
            f"{', '.join(TASKS)} and the others of `footlight list environments`"
        ) from error


def plan(arguments: argparse.Namespace) -> Iterator[Job]:
    """All runs, seed by seed, so that an interrupted table is balanced."""
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for environment in arguments.environments:
            for method in dict.fromkeys(arguments.methods):
                yield Job(method, environment, seed, arguments.steps, arguments.every)


class Worker:
    """A run in a process of its own, which saves and ends when `stop` is called or this one ends.

    It has a session of its own, so that Ctrl-C in a terminal reaches it by way of `stop` only.
    """

    def __init__(self, job: Job, arguments: argparse.Namespace) -> None:
        self.job, self._started = job, time.monotonic()
        folder = job.folder(arguments.work)
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log.txt"
        is_peer = split_method(job.method)[0] in PEERS
        python = arguments.peer_python if is_peer else sys.executable
        command = [python, HERE / "mujoco_runs.py", json.dumps(job._asdict()), folder]
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=log, stderr=log,
                env=os.environ | ONE_THREAD, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """Let the run save and end; `wait` for it afterwards."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def minutes(self) -> float:
        """Minutes since the process was started."""
        return (time.monotonic() - self._started) / 60

    def message(self) -> str:
        """The last line that the process has written, or the signal that has killed it."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        if (code := self.process.returncode) < 0:
            return f"killed by signal {-code}"
        return lines[-1] if lines else f"exit code {code}"


def train_all(jobs: Sequence[Job], arguments: argparse.Namespace, table: Table) -> list[str]:
    """Make the runs, some at a time, and write the table after each; return what failed."""
    waiting, running, failures = list(jobs), list[Worker](), list[str]()
    try:
        while waiting or running:
            while waiting and len(running) < arguments.processes:
                job = waiting.pop(0)
                progress(f"start   {name_of(job)}")
                try:
                    running.append(Worker(job, arguments))
                except OSError as error:
                    failures.append(f"{name_of(job)}: {error}")
                    progress(f"failed  {failures[-1]}")
            time.sleep(POLL_SECONDS)
            for worker in [each for each in running if each.process.poll() is not None]:
                running.remove(worker)
                worker.stop()
                left = f"{len(waiting) + len(running)} left"
                if worker.process.returncode == 0:
                    table.collect(arguments.work)
                    table.write()
                    final = table.final(worker.job)
                    end = f"{final:.1f} in {worker.minutes:.1f} minutes"
                    progress(f"end     {name_of(worker.job)}: {end}, {left}")
                else:
                    failures.append(f"{name_of(worker.job)}: {worker.message()}")
                    progress(f"failed  {failures[-1]}, {left}")
    finally:
        for worker in running:
            worker.stop()
        for worker in running:
            worker.process.wait()
    return failures


def name_of(job: Job) -> str:
    """A run in messages."""
    return f"{job.environment}  {job.method}  seed {job.seed}"


def main() -> int:
    """Train what is missing and write table, report and images.

    Returns 1 if a run failed, and 130 after an interruption.
    """
    arguments = read_arguments()
    table = Table(arguments.results)
    table.collect(arguments.work)
    table.write()
    code = 0
    if not arguments.csv_only:
        missing = [job for job in plan(arguments) if not table.has(job)]
        progress(f"{len(missing)} of {len(list(plan(arguments)))} runs are missing")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            code = 1 if train_all(missing, arguments, table) else 0
        except KeyboardInterrupt:
            progress("interrupted - the same command continues")
            code = 130
    publish_all(table)
    return code


if __name__ == "__main__":
    sys.exit(main())
