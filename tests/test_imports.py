"""Each command imports only what it needs, according to `sys.modules` of fresh processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import footlight

HEAVY = {
    "torch",
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "gymnasium",
    "matplotlib",
    "tensorboard",
    "wandb",
    "rich",
}
HEAVY |= {
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pygame",
    "imageio_ffmpeg",
    "safetensors",
    "scipy",
    "pandas",
}

COMMANDS = """
import json, sys
from footlight.cli.main import main

heavy, found = json.loads(sys.argv[1]), []
for line in sys.argv[2:]:
    try:
        if line.split()[0] == "load":
            code = int(__import__("footlight").load("run") is None)
        else:
            code = main(line.split())
    except SystemExit as left:  # --help
        code = left.code or 0
    found.append([code, [name for name in heavy if name in sys.modules]])
print("\\n" + json.dumps(found))
"""


def imported_by(folder: Path, *lines: str) -> list[tuple[int, set[str]]]:
    """Exit code and heavy modules after each of these command lines, in one new process."""
    screenless = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    ran = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(sorted(HEAVY)), *lines],
        cwd=folder, env=screenless, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [(code, set(names)) for code, names in json.loads(ran.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run in it, whose episodes are short in a video, too."""
    folder = tmp_path_factory.mktemp("imports")
    settings = {"learning_starts": 10, "batch_size": 8, "hidden_sizes": (8, 8), "eval_episodes": 1}
    footlight.train(
        "sac",
        "Pendulum-v1",
        steps=20,
        compile="off",
        quiet=True,
        run_dir=folder / "run",
        env_kwargs={"max_episode_steps": 20},
        **settings,
    )
    return folder


@pytest.mark.parametrize(
    ("needed", "lines"),
    [
        (set(), ["--help", "resume --help", "runs --help", "clean --help", "list", "list presets"]),
        (set(), ["completion bash", "completion words train sac Pendulum-v1 --warmup w"]),
        ({"gymnasium"}, ["completion words train sac Pendu"]),
        ({"gymnasium"}, ["train --help"]),
        ({"safetensors"}, ["inspect run", "inspect run --json", "verify run"]),
        ({"safetensors"}, ["runs .", "runs . --json", "clean .", "clean . --delete videos"]),
        ({"matplotlib"}, ["plot run"]),
        (set(), ["report --help", "report run"]),
    ],
)
def test_commands_without_torch_import_only_what_they_need(
    needed: set[str], lines: list[str], folder: Path
) -> None:
    assert imported_by(folder, *lines) == [(0, needed)] * len(lines)


def test_options_are_imported_without_torch() -> None:
    script = "import footlight, sys; footlight.Options(steps=3); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_acting_imports_neither_the_compiler_nor_what_draws_and_tracks(folder: Path) -> None:
    """One process for the commands that need torch, in the order of what they need."""
    lines = [
        "watch run",
        "load run",
        "evaluate run --episodes 1",
        "watch run --video run/video.gif",
        "export run run/policy.onnx",
    ]
    watch, load, evaluate, video, export = imported_by(folder, *lines)
    assert watch == (2, set())  # that there is no screen is said before anything is imported
    acting = {"torch", "gymnasium", "safetensors"}
    assert load == (0, acting)
    assert evaluate == (0, acting)
    assert video == (0, {*acting, "pygame"})
    assert export[0] == 0
    assert not export[1] & {
        "matplotlib",
        "tensorboard",
        "wandb",
        "rich",
        "imageio_ffmpeg",
        "pandas",
    }


def test_learning_does_not_import_the_compiler(tmp_path: Path) -> None:
    line = "train td3 Pendulum-v1 --steps 20 --learning-starts 9 --compile off --eval-episodes 1"
    ((code, imported),) = imported_by(tmp_path, line)
    assert code == 0
    assert "rich" in imported
    assert not imported & {"torch._dynamo", "torch._inductor", "sympy"}


LOADING = """
import itertools, sys
from footlight.algorithms import ALGORITHMS, config_class, find
from footlight.config.fields import build
from footlight.learning.blueprint import Blueprint, networks_of
from footlight.types import BoxAction, DiscreteAction, Spaces
import numpy as np

spaces = {
    "box": BoxAction(low=-np.ones(2, np.float32), high=np.ones(2, np.float32)),
    "single": DiscreteAction(sizes=(3,), starts=(0,)),
    "discrete": DiscreteAction(sizes=(3, 2), starts=(0, 0), shape=(2,)),
}
shapes = ((3,), "float32"), ((2, 36, 36), "uint8")
for name, (kind, action), (shape, dtype), start in itertools.product(
    ALGORITHMS, spaces.items(), shapes, ("pytorch", "kaiming", "orthogonal", "sparse")
):
    method = find(name)
    if kind in method.ACTIONS and (dtype == "float32" or start == "orthogonal"):
        known = config_class(name).__dataclass_fields__
        has_blocks = "body" in known and known["body"].default != "mlp"
        fields = {"initialization": start, "hidden_sizes": (8, 8 if has_blocks else 4)}
        if start == "sparse":
            norms = {"norm": "layer", "layer_norm": True}
            fields |= {field: value for field, value in norms.items() if field in known}
        config = build(config_class(name), fields)
        where = Spaces(observation_shape=shape, observation_dtype=dtype, action=action)
        blueprint = Blueprint(name, method, config, where, None, 0)
        built, shapes_only = (
            {n: v.initial.shape for n, v in networks_of(made)}
            for made in (blueprint.build(), blueprint.build_shapes())
        )
        assert built == shapes_only, name
print("torch._dynamo" in sys.modules)
"""


def test_sizes_of_all_networks_are_known_without_the_compiler() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADING], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["False"]
