"""The commands except `train`: each takes its parsed options and returns the exit code."""

import argparse
import contextlib
import importlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from footlight.cli.check_env import check_env
from footlight.cli.command_line import output_for_results
from footlight.cli.doctor import doctor
from footlight.cli.own_code import for_run, own_code
from footlight.cli.report import report
from footlight.cli.run_folders import clean, runs
from footlight.cli.sweep import sweep
from footlight.cli.watch_runs import watch_runs
from footlight.errors import UserError, counted, printable, warn

PROGRESS_SECONDS = 10.0


def resume(options: argparse.Namespace) -> int:
    """Resume a stopped run, or the runs of several seeds."""
    from footlight import api
    from footlight.runs.seeds_folder import is_seeds_folder

    given = own_code(
        {name: value for name, value in vars(options).items() if name not in ("command", "debug")}
    )
    run_dir = given.pop("run_dir")
    resumed = api.resume_seeds if is_seeds_folder(run_dir) else api.resume
    with output_for_results(options.quiet):
        resumed(run_dir, **given)
    if options.quiet:
        print(options.run_dir)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run episodes and print their returns."""
    from footlight.run import Run

    run = Run(options.run_dir, **for_run(options))
    deterministic = True if options.deterministic else False if options.stochastic else None
    progress = _print_progress("evaluating", options.episodes)
    with output_for_results(options.json):
        evaluation = run.evaluate(options.episodes, options.seed, deterministic, progress=progress)
    if options.json:
        print(json.dumps({"run_dir": str(options.run_dir), **evaluation.to_json()}))
        return 0
    _print_episodes(evaluation.returns, evaluation.lengths)
    how = "deterministic" if evaluation.deterministic else "stochastic"
    remark = f" ({remark})" if (remark := evaluation.remark()) else ""
    over = f"over {counted(options.episodes, 'episode')}, {how}{remark}"
    print(f"mean return {evaluation.mean_return:.2f} ± {evaluation.std_return:.2f} {over}")
    return 0


def _print_episodes(returns: Sequence[float], lengths: Sequence[int]) -> None:
    for number, (total, length) in enumerate(zip(returns, lengths, strict=True), 1):
        print(f"episode {number:3d}  return {total:10.2f}  length {length:6d}")


def _print_progress(text: str, total: int) -> Callable[[int], bool]:
    """Return a callback that prints the number of completed parts to stderr every ten seconds."""
    next_line = time.monotonic() + PROGRESS_SECONDS

    def progress(completed: int) -> bool:
        nonlocal next_line
        if (now := time.monotonic()) >= next_line:
            next_line = now + PROGRESS_SECONDS
            warn(f"{text} {min(completed + 1, total)}/{total}")
        return True

    return progress


def watch(options: argparse.Namespace) -> int:
    """Show episodes in a window, or record them in a file."""
    from footlight.instruments.window import require_screen

    if options.video is None:
        require_screen()  # before the import of torch, which takes seconds
    from footlight.run import Run

    run = Run(options.run_dir, **for_run(options))
    if options.video is None:
        run.watch(options.episodes, options.seed, options.overlay)
    else:
        print(run.video(options.video, options.episodes, options.seed, options.overlay))
    return 0


def simulate(options: argparse.Namespace) -> int:
    """Show a random policy in a window, or record it in a file; print the returns."""
    from footlight.instruments.simulation import simulate as play

    video = play(
        options.environment,
        episodes=options.episodes,
        seed=options.seed,
        video=options.video,
        env_kwargs=options.env_kwargs,
    )
    _print_episodes(video.returns, video.lengths)
    if video.is_file():  # else it was a window
        print(printable(str(video)))
    return 0


def plot(options: argparse.Namespace) -> int:
    """Plot learning curves."""
    from footlight.instruments.plot import plot_runs

    first = options.run_dirs[0]
    is_run = len(options.run_dirs) == 1 and (first / "config.json").exists()
    output = options.output or (first if is_run else Path()) / "curve.png"
    plot_runs(options.run_dirs, output, label=options.label, metric=options.metric, x=options.x)
    print(output)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Reproduce the episode in which an environment failed."""
    from footlight.environments import reproduce as episodes

    outcome = episodes.reproduce(options.crash_dir, timeout=options.env_timeout, **for_run(options))
    print(printable(str(outcome)))
    return 0 if outcome.fault is None else outcome.fault.exit_code


def track(options: argparse.Namespace) -> int:
    """Send a run to TensorBoard or Weights & Biases."""
    from footlight.runs.trackers import track as trackers

    if options.follow:
        trackers.follow(options.run_dir, options.track[0])
    else:
        wandb = {name: value for name, value in vars(options).items() if name.startswith("wandb_")}
        trackers.track(options.run_dir, options.track, **wandb)
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Print the content of a folder."""
    from footlight.runs import verification

    content = verification.inspect(options.path, warn)
    print(json.dumps(content) if options.json else verification.describe(content))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Compare all files with their checksums and schemas."""
    from footlight.runs import verification

    found = list(verification.verify(options.path))
    for name, fault in found:
        print(printable(f"{'damaged' if fault else 'intact':9s} {name}"))
    for name in verification.unchecked(options.path):
        print(printable(f"unchecked {name}"))
    if faults := [fault for _, fault in found if fault]:
        raise UserError("\n".join(faults[:3]))
    return 0


def export(options: argparse.Namespace) -> int:
    """Export a policy to ONNX."""
    from footlight.run import Run

    print(Run(options.run_dir, **for_run(options)).export(options.output))
    return 0


def list_all(options: argparse.Namespace) -> int:
    """List algorithms, presets and environments."""
    from footlight.algorithms import ALGORITHMS
    from footlight.config.presets import all_presets

    if options.kind in (None, "algorithms"):
        for name, text in ALGORITHMS.items():
            print(f"{name:19s} {text}")
    if options.kind in (None, "presets"):
        for name, values in all_presets().items():
            print(f"{name:32s} " + ", ".join(f"{key}={value}" for key, value in values.items()))
    if options.kind == "environments":
        import gymnasium

        with contextlib.suppress(ImportError):
            gymnasium.register_envs(importlib.import_module("ale_py"))  # the import registers them
        for name in sorted(gymnasium.registry):
            print(name)
    return 0


def tune_machine(options: argparse.Namespace) -> int:
    """Measure threads, matrix products and precision, and keep the result for later runs."""
    from footlight.instruments import tune

    if options.forget:
        tune.forget()
        print("runs follow the rules again")
        return 0
    tune.require_place()
    warn("measuring compiled updates, which takes minutes; stop other programs meanwhile")
    content = tune.measure(print if not options.json else warn)
    where = tune.write(content)
    print(json.dumps(content) if options.json else f"{where}: later runs on this machine follow it")
    return 0


def completion(options: argparse.Namespace) -> int:
    """Print the completion script of a shell."""
    from footlight.cli.shell_words import SCRIPTS

    print(SCRIPTS[options.shell], end="")
    return 0


COMMANDS = {
    "resume": resume,
    "evaluate": evaluate,
    "watch": watch,
    "simulate": simulate,
    "check-env": check_env,
    "plot": plot,
    "report": report,
    "reproduce": reproduce,
    "track": track,
    "inspect": inspect,
    "verify": verify,
    "export": export,
    "doctor": doctor,
    "runs": runs,
    "clean": clean,
    "watch-runs": watch_runs,
    "list": list_all,
    "sweep": sweep,
    "tune-machine": tune_machine,
    "completion": completion,
}
