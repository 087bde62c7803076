"""`footlight train`: its arguments, wherever they are, its help page, and invalid input."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import FAST

from footlight.algorithms import ALGORITHMS, config_class
from footlight.cli.main import main
from footlight.config.fields import fields
from footlight.config.options import Options
from footlight.environments.atari import AtariConfig


class TupleActions(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space: Any = gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(2),))


class EndlessActions(TupleActions):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


class TextObservations(TupleActions):
    observation_space: Any = gymnasium.spaces.Dict({"name": gymnasium.spaces.Text(5)})
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


class NeedsSomething(TupleActions):
    def __init__(self) -> None:
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed")


for made in (TupleActions, EndlessActions, TextObservations, NeedsSomething):
    gymnasium.register(f"Test{made.__name__}-v0", made)


gymnasium.registry["TestNeedsSomething-v0"].entry_point = f"{__name__}:NeedsSomething_mujoco"
NeedsSomething_mujoco = NeedsSomething


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train sak Pendulum-v1", ["sak", "'sac'"]),
        ("train sac Pendulm-v1", ["Pendulm-v1", "Pendulum-v1"]),
        ("train sac Pendulum-v1 --gama 0.9", ["--gama", "--gamma"]),
        ("train sac Pendulum-v1 --preset Pendulm-v1", ["Pendulm-v1", "sac/Pendulum-v1"]),
        ("train sac Pendulum-v1 --gamma 1.5", ["gamma is 1.5", "[0, 1]"]),
        ("train sac Pendulum-v1 --gamma high", ["gamma is 'high'", "a number"]),
        ("train sac Pendulum-v1 --learning-rate nan", ["learning_rate is nan", "> 0"]),
        ("train sac Pendulum-v1 --learning-rate -1e-3", ["learning_rate is -0.001"]),
        ("train sac Pendulum-v1 --steps 0", ["steps is 0", ">= 1"]),
        ("train sac Pendulum-v1 --seeds 0", ["seeds is 0", "[1, 256]"]),
        ("train sac Pendulum-v1 --seeds few", ["seeds is 'few'", "a number of seeds"]),
        ("train sac Pendulum-v1 --seeds 3 4 --seed 1", ["seed is 1", "leave seed out"]),
        ("train --seeds 3 4 sac Pendulum-v1 --gamma 2", ["gamma is 2"]),
        ("train sac Pendulum-v1 --steps 10.5", ["steps is '10.5'", "an integer"]),
        ("train sac Pendulum-v1 --seed -1", ["seed is -1"]),
        ("train sac Pendulum-v1 --hidden-sizes 64 0", ["hidden_sizes is 64 0"]),
        ("train sac Pendulum-v1 --log-std wild", ["log_std is 'wild'", "clamped, rescaled"]),
        (
            "train sac Pendulum-v1 --batch-size 100 --buffer-size 99",
            ["batch_size 100", "buffer_size 99"],
        ),
        (
            "train sac Pendulum-v1 --buffer-size 1e12",
            ["buffer_size 1,000,000,000,000", "largest that fits"],
        ),
        ("train sac Pendulum-v1 --device cuda", ["cuda"]),
        ("train sac Pendulum-v1 --config missing.toml", ["missing.toml"]),
        ("train td3 CartPole-v1", ["td3", "continuous", "Discrete(2)"]),
        ("train sac CartPole-v1", ["sac", "continuous", "use actor-critic, a2c, impala, ppo"]),
        (
            "train ppo Pendulum-v1 --n-steps 100 --minibatch-size 64",
            ["minibatch_size 64", "100", "try 50"],
        ),
        (
            "train ppo Pendulum-v1 --no-preset --n-steps 8 --num-envs 3 --minibatch-size 5",
            ["minibatch_size 5", "24", "try 4"],
        ),
        ("train stream-ac CartPole-v1 --num-envs 2", ["num_envs is 2", "one stream"]),
        ("train ddpg TestTupleActions-v0", ["Tuple"]),
        ("train ddpg TestTextObservations-v0", ["Text"]),
        ("train ddpg TestEndlessActions-v0", ["finite bounds", "[0]", "[1]"]),
        ("train ddpg TestNeedsSomething-v0", ["footlight[mujoco]"]),
        ("train sac Pendulum-v1 --run-dir /proc", ["/proc exists", "never overwritten"]),
        ("train sac Pendulum-v1 --run-dir /proc/1/x", ["/proc/1/x"]),
        ("train sac", ["ENVIRONMENT"]),
        ("trian sac Pendulum-v1", ["trian", "train"]),
        ("train Pendulum-v1 sac", ["algorithm comes first", "footlight train sac Pendulum-v1"]),
        ("train Pendulum-v1 sac --steps 9", ["algorithm comes first", "train sac Pendulum-v1"]),
        ("train sac Pendulum", ["'Pendulum' has no version", "did you mean 'Pendulum-v1'"]),
        ("train sac Pendulum-v1 --track tensorbord", ["tensorbord", "did you mean 'tensorboard'"]),
        ("train sac Pendulum-v1 --activation rleu", ["'rleu'", "did you mean 'relu'"]),
        ("list algorithm", ["'algorithm'", "did you mean 'algorithms'"]),
        ("resume nowhere", ["no folder nowhere", "give a run folder"]),
        ("resume . --max-time never", ["not a run folder"]),
        ("evaluate .", [". has nothing to load", "not a run folder"]),
        ("evaluate ~nobody-at-all/run", ["~nobody-at-all/run", "write ./~nobody"]),
        ("train SAC Pendulum-v1", ["'SAC'", "did you mean 'sac'"]),
        ("train sac pendulum-v1", ["'pendulum-v1'", "did you mean 'Pendulum-v1'"]),
        ("train sac Pendulum-v1 --lr 1", ["--lr", "did you mean '--learning-rate'"]),
        (
            "train ppo CartPole-v1 --total-timesteps 9",
            ["--total-timesteps", "did you mean '--steps'"],
        ),
        ("train sac Pendulum-v1 --ent-coef 0", ["--ent-coef", "did you mean '--initial-alpha'"]),
        ("train sac --wandb-tags a b Pendulum-v1", ["--wandb-tags took all of a b Pendulum-v1"]),
        (
            "train sac Pendulum-v1 --buffer-size 100",
            ["batch_size 128 is a value of the preset sac/Pendulum-v1"],
        ),
        ("train sac Pendulum-v1 --env-kwargs g:9", ["'g:9'", "write g=9"]),
        (
            "train sac Pendulum-v1 --env-kwargs gravity=9",
            ["'gravity'", "Pendulum-v1 does not take", "it takes g"],
        ),
        ("watch nowhere --video episode.gif", ["no folder nowhere"]),
        ("plot nowhere", ["not a run folder"]),
    ],
)
def test_invalid_input_is_named_and_creates_nothing(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    assert all(word in err for word in words), err
    assert list(Path().iterdir()) == []


def test_environment_of_the_working_directory_takes_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("own_envs.py").write_text(
        "import gymnasium, sys\nfrom gymnasium.spaces import Box\n"
        "class Own(gymnasium.Env):\n"
        "    observation_space = action_space = Box(-1, 1, (1,))\n"
        "    def __init__(self, size=1): self.size = size\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        self.clock = 0\n        return self.observation_space.low * 0, {}\n"
        "    def step(self, action):\n"
        "        self.clock += 1\n"
        "        return self.observation_space.low * 0, 1.0, False, self.clock >= self.size, {}\n"
        "gymnasium.register('Own-v0', entry_point='own_envs:Own')\n"
    )
    options = [word for word in FAST if word != "--quiet"]
    words = ["--env-kwargs", "size=7", "own_envs:Own-v0", "--steps=20", "--run-dir=own"]
    assert main(["train", "sac", *options, *words]) == 0
    assert "sac on own_envs:Own-v0 (size=7) | " in capsys.readouterr().out
    assert json.loads(Path("own/config.json").read_text())["env_kwargs"] == {"size": 7}
    assert main(["evaluate", "own", "--episodes=1", "--json"]) == 2
    assert main(["evaluate", "own", "--episodes=1", "--json", "--allow-env-import=own_envs"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["lengths"] == [7]
    assert main(["resume", "own", "--steps=30", "--allow-env-import=own_envs"]) == 0
    assert "own_envs:Own-v0 (size=7)" in capsys.readouterr().out
    gymnasium.registry.pop("Own-v0")


def test_run_without_updates_is_warned_about_first_and_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = [
        "--steps=9",
        "--eval-episodes=0",
        "--compile=off",
        "--hidden-sizes",
        "[8, 8]",
        "--run-dir=~/with space",
    ]
    assert main(["train", "sac", "Pendulum-v1", *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "warning: no updates - learning_starts is 500 and the run has 9 steps - nothing will be"
    )
    assert "0 updates: nothing was learned" in out
    assert shlex.quote(str(tmp_path / "with space")) in out
    assert (tmp_path / "with space" / "result.json").exists()
    assert not Path("~").exists()


def test_toml_file_overrides_preset_and_yields_to_command_line() -> None:
    Path("mine.toml").write_text("gamma = 0.9\ntau = 0.5\nsteps = 30\n")
    assert (
        main(["train", "sac", "Pendulum-v1", "--config", "mine.toml", "--tau", "0.25", *FAST]) == 0
    )
    config = json.loads(Path("runs/Pendulum-v1/sac/001/config.json").read_text())
    assert (config["steps"], config["config"]["gamma"], config["config"]["tau"]) == (30, 0.9, 0.25)
    assert config["config"]["learning_rate"] == 7e-4


@pytest.mark.parametrize("steps", [50, 51])
def test_total_steps_are_exact_with_several_environments(steps: int) -> None:
    assert (
        main(["train", "ddpg", "Pendulum-v1", "--steps", str(steps), "--num-envs", "4", *FAST]) == 0
    )
    result = json.loads(Path("runs/Pendulum-v1/ddpg/001/result.json").read_text())
    assert (result["steps"], result["updates"]) == (steps, steps - 10)


def test_help_says_what_none_means() -> None:
    classes = [Options, AtariConfig, *(config_class(name) for name in ALGORITHMS)]
    silent = {
        field.name
        for one in classes
        for field in fields(one).values()
        if (field.default is None or field.default == ())
        and not re.search(r"none: (automatic|off|\d|actions)", field.help)
    }
    assert silent == set()


def test_help_lists_every_field_of_every_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    from footlight.algorithms import ALGORITHMS, config_class
    from footlight.config.fields import fields

    for algorithm in ALGORITHMS:
        with pytest.raises(SystemExit) as stopped:
            main(["train", algorithm, "--help"])
        assert stopped.value.code == 0
        shown = capsys.readouterr().out
        for field in fields(config_class(algorithm)).values():
            assert f"--{field.name.replace('_', '-')} VALUE" in shown.replace(
                "[VALUE]", "VALUE"
            ).replace("VALUE [VALUE ...]", "VALUE")
    assert main(["list"]) == 0
    assert "sac/Pendulum-v1" in capsys.readouterr().out


def test_help_marks_the_fields_that_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "ddpg", "Pendulum-v1", "--help"])
    sections = re.split(r"\n  (?=--)", capsys.readouterr().out)
    marked = {
        text.split()[0].removeprefix("--").replace("-", "_")
        for text in sections
        if "Can change during a run." in " ".join(text.split())
    }
    known = {name for name, f in fields(config_class("ddpg")).items() if f.is_schedulable}
    assert marked == known
