"""Memory of image replay, computed and measured: 84 x 84 pixels, stacks of 4, several environments.

    python benchmarks/frame_memory.py --output benchmarks/results/frame-memory.txt

Fills a buffer of a million frames and needs 8 GB for that. Then it draws minibatches,
and again from a small buffer of whole
transitions that holds the same steps.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from report import (
    HERE,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

from footlight.buffers.frames import FrameReplay
from footlight.buffers.replay import Replay, ReplayPlan, row_bytes
from footlight.machine import format_bytes
from footlight.types import Decision, DiscreteAction, Spaces, Transition

STACK, SIDE, ENVS, BATCH = 4, 84, 8, 32
SPACES = Spaces(
    observation_shape=(STACK, SIDE, SIDE), observation_dtype="uint8",
    action=DiscreteAction(sizes=(18,), starts=(0,))
)  # fmt: skip


def play() -> Iterator[Transition]:
    """Endless steps of random pixels: 800 per episode on average, and a lost life every 200."""
    generator = np.random.default_rng(0)

    def frames(count: int) -> np.ndarray:
        return np.frombuffer(generator.bytes(ENVS * count * SIDE * SIDE), np.uint8).reshape(
            ENVS, count, SIDE, SIDE
        )

    seen = frames(STACK)
    while True:
        after = np.concatenate([seen[:, 1:], frames(1)], 1)
        chance = generator.random(ENVS)
        terminated, truncated = chance < 1 / 200, chance > 1 - 1 / 1600
        action_EA = generator.integers(0, 18, (ENVS, 1))
        yield Transition(seen, action_EA, np.zeros(ENVS, np.float32), after, terminated, truncated)
        ended = truncated | (
            chance < 1 / 1600
        )  # the other terminations are lost lives: the game goes on
        seen = np.where(ended[:, None, None, None], frames(STACK), after) if ended.any() else after


def kilobytes(name: str) -> int:
    """A line of this process's status: VmRSS, memory in use, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def microseconds_per_draw(replay: FrameReplay | Replay) -> float:
    """Median over 2,000 minibatches."""
    stream, seconds = np.random.default_rng(0), []
    for _ in range(2_000):
        start = time.perf_counter()
        replay.draw(stream)
        seconds.append(time.perf_counter() - start)
    return 1e6 * median(seconds)


def main() -> int:
    """Fill, measure, draw."""
    parser = make_parser(__doc__)
    parser.add_argument("--frames", type=positive, default=1_000_000)
    parser.add_argument(
        "--whole", type=positive, default=10_000, help="transitions of the buffer beside it"
    )
    arguments = parser.parse_args()
    settings = ReplayPlan(
        gamma=0.99, batch_size=BATCH, buffer_size=arguments.frames, learning_starts=0
    )
    steps = arguments.frames // ENVS * 11 // 10  # once around, and a tenth of it again
    world = play()
    next(world)  # what a step takes is there before the buffer
    before = kilobytes("VmRSS")
    frames = FrameReplay(SPACES, ENVS, settings)
    for step, transition in zip(range(steps), world, strict=False):
        frames.add(transition, Decision(transition.action))
        if step % (steps // 10) == 0:
            progress(f"{step:,} of {steps:,} steps of {ENVS} environments")
    frames.draw(np.random.default_rng(0))
    peak = 1024 * (kilobytes("VmHWM") - before)
    whole = Replay(
        SPACES,
        ENVS,
        ReplayPlan(gamma=0.99, batch_size=BATCH, buffer_size=arguments.whole, learning_starts=0),
    )
    for _, transition in zip(range(arguments.whole // ENVS + 1), world, strict=False):
        whole.add(transition, Decision(transition.action))
    naive = arguments.frames * row_bytes(SPACES)
    rows = [
        ["", "bytes", "", "per frame"],
        *(
            [name, f"{count:,}", format_bytes(count), f"{count / arguments.frames:,.1f}"]
            for name, count in (
                ("frames once, computed", frames.num_bytes),
                ("frames once, measured: growth of peak resident memory", peak),
                ("as many whole transitions, computed", naive),
            )
        ),
    ]
    draws = [
        ["a minibatch of 32", "buffer holds", "microseconds"],
        ["frames once", f"{len(frames):,} transitions", f"{microseconds_per_draw(frames):.0f}"],
        ["whole transitions", f"{len(whole):,} transitions", f"{microseconds_per_draw(whole):.0f}"],
    ]
    lines = [
        f"Image replay of {arguments.frames:,} frames, {SIDE} x {SIDE}, "
        f"stacks of {STACK}; {ENVS} environments, {steps:,} steps each",
        "", *table(rows), "", *table(draws), "",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]  # fmt: skip
    publish(lines, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
