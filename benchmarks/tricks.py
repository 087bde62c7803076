"""What some of footlight's tricks gain: each one on and off, in CPU time on one thread.

    python benchmarks/tricks.py [TRICK ...] --output benchmarks/results/tricks.txt

Every measurement is a new process, and on and off take turns. CPU time of the process is counted,
so that other programs on the machine matter little. docs/speed.md says what the tricks are.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from report import (
    HERE,
    Failure,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

LARGE: dict[str, Any] = {"hidden_sizes": (256, 256), "batch_size": 256}
SMALL: dict[str, Any] = {"hidden_sizes": (64, 64), "batch_size": 100}
SECONDS = 2.0  # of CPU time, for each measurement
Timed = Callable[[], object]


def sac(is_compiled: bool, sizes: dict[str, Any]) -> Any:
    """An agent that has stored enough transitions to learn from, and has learned a little."""
    import gymnasium

    import footlight

    env = gymnasium.make("Pendulum-v1")
    agent = footlight.Agent(
        "sac", env.observation_space, env.action_space, threads=1,
        compile="on" if is_compiled else "off", learning_starts=300, **sizes,
    )  # fmt: skip
    observation, _ = env.reset(seed=0)
    for _ in range(320):
        action = agent.act(observation, explore=True)
        following, reward, terminated, truncated, _ = env.step(action)
        agent.observe(observation, action, reward, following, terminated, truncated)
        observation = env.reset()[0] if terminated or truncated else following
    return agent


def update(agent: Any) -> Timed:
    """An update on the batch that is in the buffer."""
    from footlight.types import Minibatch

    due, stream = Minibatch(0), agent.streams.update
    return lambda: agent.learner.update(due, stream)


def compiled_update(is_on: bool, sizes: dict[str, Any]) -> Timed:
    """The update, compiled into one graph, or called eagerly."""
    return update(sac(is_on, sizes))


def cpp_wrapper(is_on: bool, sizes: dict[str, Any]) -> Timed:
    """The code around the compiled kernels, in C++ or in Python."""
    import torch._inductor.compile_fx as compiler
    import torch._inductor.config as config

    from footlight.learning import compilation, graph_cache

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()
    if not is_on:
        settings, inner = compilation._settings, compiler.compile_fx_inner

        @contextlib.contextmanager
        def changed(further: dict[str, Any]) -> Any:
            with settings(further), config.patch(cpp_wrapper=False):
                yield

        def without(graph: Any, inputs: Any, **options: Any) -> Any:
            return inner(graph, inputs, cpp_wrapper=False)

        vars(compilation)["_settings"] = changed
        vars(compiler)["compile_fx_inner"] = without
    vars(graph_cache)["load"] = lambda *given: None  # which has one with the wrapper
    vars(graph_cache)["keep"] = lambda *given: None
    return update(sac(True, sizes))


def numpy_acting(is_on: bool, sizes: dict[str, Any]) -> Timed:
    """Acting on one observation through NumPy, or through torch."""
    from footlight.networks import flat

    if not is_on:
        vars(flat)["MAX_NUMPY_ROWS"] = 0
    agent = sac(False, sizes)
    observation = agent.buffer.batch.observation[0].copy()
    return lambda: agent.act(observation, explore=True)


def gather(is_on: bool, sizes: dict[str, Any]) -> Timed:
    """Drawing a minibatch, straight into its arrays or through a buffer of NumPy's."""
    import numpy as np

    agent = sac(False, sizes)
    replay, stream = agent.buffer, np.random.default_rng(0)
    if not is_on:
        rows, batch = replay._rows, replay.batch

        def take_places(places_B: Any) -> None:
            for stored, out in zip(rows, batch, strict=True):
                np.take(stored, places_B, axis=0, out=out)

        vars(replay)["take_places"] = take_places
    return lambda: replay.draw(stream)


TRICKS: dict[str, tuple[str, Callable[[bool, dict[str, Any]], Timed], dict[str, Any]]] = {
    "compiled-64": ("SAC update 2x64, batch 100: compiled or eager", compiled_update, SMALL),
    "compiled-256": ("SAC update 2x256, batch 256: compiled or eager", compiled_update, LARGE),
    "wrapper-64": ("SAC update 2x64, batch 100: C++ or Python wrapper", cpp_wrapper, SMALL),
    "numpy-64": ("acting on one observation, 2x64: NumPy or torch", numpy_acting, SMALL),
    "numpy-256": ("acting on one observation, 2x256: NumPy or torch", numpy_acting, LARGE),
    "gather": ("drawing a batch of 256: into place or buffered", gather, LARGE),
}


def microseconds(name: str, is_on: bool) -> float:
    """CPU time of one call."""
    _, make, sizes = TRICKS[name]
    call = make(is_on, sizes)
    for _ in range(20):
        call()
    count, start = 0, time.process_time()
    while (passed := time.process_time() - start) < SECONDS:
        for _ in range(10):
            call()
        count += 10
    return 1e6 * passed / count


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    known = ", ".join(TRICKS)
    parser.add_argument("tricks", nargs="*", metavar="TRICK", help=f"which of {known}")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    arguments = parser.parse_args()
    if unknown := {*arguments.tricks} - {*TRICKS}:
        parser.error(f"unknown trick {', '.join(sorted(unknown))} - known are {known}")
    return arguments


def main() -> int:
    """Measure and report; 1 where a figure is missing."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps({"microseconds": microseconds(sys.argv[2], sys.argv[3] == "on")}))
        return 0
    arguments = read_arguments()
    rows, notes = [["CPU microseconds per call", "on", "off", "off / on: median", "range"]], []
    for name in arguments.tricks or TRICKS:
        found: dict[str, list[float]] = {"on": [], "off": []}
        try:
            for number in range(1, arguments.rounds + 1):
                for mode, times in found.items():
                    answer = run_json([sys.executable, HERE / "tricks.py", "measure", name, mode])
                    times.append(answer["microseconds"])
                    progress(f"{name}, round {number}, {mode}: {times[-1]:,.1f} us")
        except Failure as failure:
            notes.append(f"{name} failed: {failure}")
            continue
        ratios = [off / on for on, off in zip(found["on"], found["off"], strict=True)]
        cells = [f"{median(times):,.1f}" for times in found.values()]
        span = f"{min(ratios):.2f}..{max(ratios):.2f}"
        rows.append([TRICKS[name][0], *cells, f"{median(ratios):.2f}", span])
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    lines = [
        "CPU time of one call on one thread, with a trick and without it; "
        f"{arguments.rounds} processes of each, in turn.",
        *["", *table(rows), ""], *notes, *provenance(versions),
    ]  # fmt: skip
    publish(lines, arguments.output)
    return int(bool(notes))


if __name__ == "__main__":
    sys.exit(main())
