"""TensorBoard: every number of a run once, at its step."""

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracked_run import SMALL, Points, expected_points, of_logs

import footlight
from footlight.cli.main import main


def tensorboard_points(folder: Path) -> Points:
    """What TensorBoard's own reader finds: step and value of each point, by tag."""
    found = EventAccumulator(
        str(folder / "tensorboard"),
        size_guidance=dict.fromkeys(("scalars", "histograms", "tensors"), 0),
    )
    found.Reload()
    tags = found.Tags()
    points: Points = {
        tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags["scalars"]
    }
    points |= {
        tag: [(e.step, e.histogram_value) for e in found.Histograms(tag)]
        for tag in tags["histograms"]
    }
    return points | {
        tag: [(e.step, e.tensor_proto.string_val) for e in found.Tensors(tag)]
        for tag in tags["tensors"]
    }


def test_options_with_several_values(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        "--track",
        "tensorboard",
        "--wandb-tags",
        "x",
        "y",
        "--steps",
        "60",
        "--run-dir",
        str(folder),
        "--wandb-group",
        "none",
    ]
    assert (
        main(
            [
                "train",
                "a2c",
                "CartPole-v1",
                *words,
                "--no-preset",
                "--compile=off",
                "--eval-episodes=1",
                "--quiet",
            ]
        )
        == 0
    )
    config = json.loads((folder / "config.json").read_text())
    chosen = [config[name] for name in ("track", "wandb_tags", "steps", "wandb_group")]
    assert chosen == [["tensorboard"], ["x", "y"], 60, None]
    assert tensorboard_points(folder)["result/steps"] == [(60, 60)]


def test_tensorboard_has_every_number_once_however_often_it_is_written(run_folder: Path) -> None:
    for _ in range(2):
        assert main(["track", str(run_folder), "--track", "tensorboard"]) == 0
        points = tensorboard_points(run_folder)
        assert of_logs(points) == expected_points(run_folder)
        assert points["episode/return"] == [(40, -40), (40, -41), (90, -90), (90, -91)]
        assert points["result/mean_return"] == [(100, -1.5)]
        ((step, histogram),) = points["gradients/actor.0.weight"]
        assert (step, histogram.bucket, histogram.bucket_limit) == (50, [1, 2, 3], [0, 1, 2])
        assert (
            b'"gamma": 0.9'
            in points["config/text_summary" if "config/text_summary" in points else "config"][0][1][
                0
            ]
        )


def test_training_and_resumed_training_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = SMALL | {"num_envs": 2, "checkpoint_every": 500, "track_histograms": True}
    footlight.train(
        "a2c", "CartPole-v1", steps=1_500, run_dir=folder, track=("tensorboard",), **settings
    )
    assert (folder / "tensorboard.log").read_text() == ""
    first = tensorboard_points(folder)
    assert of_logs(first) == expected_points(folder)
    assert len(first["weights/actor_critic.actor.0.weight"]) == 20
    # as if killed at the end: LATEST names an earlier checkpoint, to which the logs are cut back
    (folder / "checkpoints" / "LATEST").write_text("step-000001000\n")
    footlight.resume(folder, steps=2_000, quiet=True)
    second = tensorboard_points(folder)
    assert of_logs(second) == expected_points(folder)
    lines = [
        json.loads(line)["step"] for line in (folder / "histograms.jsonl").read_text().splitlines()
    ]
    assert [step for step, _ in second["weights/actor_critic.actor.0.weight"]] == lines
    assert (lines, lines[-1]) == (sorted(set(lines)), 2_000)
    assert [step for step, _ in second["result/steps"]] == [2_000]
    config = json.loads((folder / "config.json").read_text())
    assert [config[name] for name in ("track", "wandb_group", "wandb_tags", "wandb_mode")] == [
        ["tensorboard"],
        None,
        [],
        None,
    ]
