"""The cost of checkpoints: in a training of SAC, and with a replay buffer of a million transitions.

    python benchmarks/checkpoints.py --output benchmarks/results/checkpoints.txt

Needs 8 GB of memory and of disk for a million frames; `--transitions N` takes fewer.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.storage import checkpoint
from footlight.storage.manager import CheckpointManager
from footlight.types import BoxAction, Decision, DiscreteAction, Spaces, Transition

MUST_SHARE, MUST_SECONDS = 0.03, 2.0
NEW = 10_000  # transitions between two checkpoints
VECTORS = Spaces(  # those of HalfCheetah-v5
    observation_shape=(17,), observation_dtype="float32",
    action=BoxAction(low=-np.ones(6, np.float32), high=np.ones(6, np.float32)),
)  # fmt: skip
FRAMES = Spaces(
    observation_shape=(4, 84, 84),
    observation_dtype="uint8",
    action=DiscreteAction(sizes=(18,), starts=(0,)),
)


def training_share(steps: int) -> tuple[int, float, float]:
    """Number of checkpoints, their seconds, and the seconds of the whole run.

    The run is `footlight train sac Pendulum-v1` with a checkpoint every 10,000 steps.
    """
    import footlight

    manager: Any = CheckpointManager
    save, seconds = manager.save, []

    def timed(*given: Any) -> Path:
        started = time.perf_counter()
        folder: Path = save(*given)
        seconds.append(time.perf_counter() - started)
        return folder

    manager.save = timed
    with tempfile.TemporaryDirectory(dir=".") as folder:
        run = footlight.train(
            "sac", "Pendulum-v1", steps=steps, checkpoint_every=10_000, eval_every=0,
            eval_episodes=0, quiet=True,
            run_dir=Path(folder) / "run",
        )  # fmt: skip
        return len(seconds), sum(seconds), (run.result or {})["seconds"]


def fill(replay: Any, spaces: Spaces, count: int, draws: np.random.Generator) -> None:
    """So many steps of one environment, of random numbers."""
    is_picture = spaces.observation_dtype == "uint8"
    actions = np.zeros((1, spaces.action.size), spaces.action.stored_dtype)
    shape = spaces.observation_shape[1:] if is_picture else spaces.observation_shape
    frames = np.frombuffer(
        draws.bytes(256 * int(np.prod(shape)) * (1 if is_picture else 4)), np.uint8
    )
    frames = (
        frames.reshape(256, *shape)
        if is_picture
        else frames.view(np.uint32).reshape(256, *shape).astype(np.float32)
    )
    window = [frames[index] for index in range(4)]
    for step in range(count):
        seen = np.stack(window)[None] if is_picture else frames[step % 256][None]
        window = [*window[1:], frames[(step * 7 + 5) % 256]]
        after = np.stack(window)[None] if is_picture else frames[(step + 1) % 256][None]
        replay.add(
            Transition(
                seen, actions, np.ones(1, np.float32), after, np.zeros(1, bool), np.zeros(1, bool)
            ),
            Decision(actions),
        )


def buffer_seconds(spaces: Spaces, count: int) -> tuple[float, float, int]:
    """Seconds for the first checkpoint of a full ring, the median for later ones, and bytes."""
    plan = ReplayPlan(gamma=0.99, batch_size=32, buffer_size=count, learning_starts=100)
    replay = (FrameReplay if spaces.observation_dtype == "uint8" else Replay)(spaces, 1, plan)
    draws = np.random.default_rng(0)
    fill(replay, spaces, count + NEW, draws)
    seconds = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        rotation = CheckpointManager(Path(folder), keep=2)
        rotation.create()
        for step in range(6):
            started = time.perf_counter()
            spans = {name: checkpoint.RingPosition(*span) for name, span in replay.spans().items()}
            saved = rotation.save(step, {"buffer": replay.arrays()}, {}, {"buffer": spans}, None)
            seconds.append(time.perf_counter() - started)
            fill(replay, spaces, NEW, draws)
        if fault := checkpoint.damage(saved):
            sys.exit(f"error: {fault}")
        size = sum(path.stat().st_size for path in saved.iterdir())
    return seconds[0], float(np.median(seconds[1:])), size


def main() -> int:
    """Measure, report; 1 where a `must` is missed."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--steps", type=positive, default=100_000, help="of the training (default: 100,000)"
    )
    parser.add_argument(
        "--transitions",
        type=positive,
        default=1_000_000,
        help="in the buffers (default: 1,000,000)",
    )
    arguments = parser.parse_args()
    rows = [["checkpoints", "bytes", "first", "each further one, 10,000 steps later", "must"]]
    good = True
    for name, spaces in (
        ("vectors of 17, actions of 6", VECTORS),
        ("stacks of four 84 x 84 frames", FRAMES),
    ):
        progress(f"{arguments.transitions:,} transitions, {name}")
        first, further, size = buffer_seconds(spaces, arguments.transitions)
        good &= further < MUST_SECONDS
        verdict = f"< {MUST_SECONDS:g} s: {'met' if further < MUST_SECONDS else 'not met'}"
        what = f"{arguments.transitions:,} transitions, {name}"
        rows.append([what, f"{size:,}", f"{first:.2f} s", f"{further:.2f} s", verdict])
    progress("sac Pendulum-v1")
    count, seconds, total = training_share(arguments.steps)
    share = seconds / total
    good &= share < MUST_SHARE
    lines = [
        "A first, complete checkpoint and later ones, which write only what has changed, on the "
        "disk of the current folder.",
        "",
        *table(rows),
        "",
        f"sac Pendulum-v1, {arguments.steps:,} steps: {count} checkpoints in {seconds:.2f} s of "
        f"{total:.1f} s, {share:.2%} "
        f"(must < {MUST_SHARE:.0%}: {'met' if share < MUST_SHARE else 'not met'})",
        "",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]
    publish(lines, arguments.output)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
