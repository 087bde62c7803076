"""Arguments before they are parsed: values joined with options, and the search path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from footlight.cli.command_line import (
    add_working_directory,
    first_words,
    join_values,
    require_not_swallowed,
)
from footlight.errors import UserError


@pytest.mark.parametrize(
    ("line", "joined"),
    [
        ("sac --hidden-sizes 64 64 E", ["sac", "--hidden-sizes=64 64", "E"]),
        ("--hidden-sizes 64,64 sac E", ["--hidden-sizes=64,64", "sac", "E"]),
        ("sac --hidden-sizes [64, 64] E", ["sac", "--hidden-sizes=[64, 64]", "E"]),
        ("sac --hidden-sizes none E", ["sac", "--hidden-sizes=none", "E"]),
        ("sac E --learning-rate -1e-3", ["sac", "E", "--learning-rate=-1e-3"]),
        ("sac --track tensorboard wandb E", ["sac", "--track=tensorboard wandb", "E"]),
        (
            "sac --env-kwargs a=1 b=c=2 E --seed 3",
            ["sac", "--env-kwargs=a=1", "--env-kwargs=b=c=2", "E", "--seed=3"],
        ),
        ("sac --env-kwargs=a=1 b=2 E", ["sac", "--env-kwargs=a=1", "--env-kwargs=b=2", "E"]),
        ("sac --quiet E", ["sac", "--quiet", "E"]),
        (
            "sac E --compile off --overlay --quiet",
            ["sac", "E", "--compile", "off", "--overlay", "--quiet"],
        ),
    ],
)
def test_values_are_joined_with_their_option(line: str, joined: list[str]) -> None:
    assert join_values(line.split()) == joined
    assert first_words(joined, ("sac", "ppo")) == ("sac", "E")


def test_list_option_that_took_the_environment_is_reported() -> None:
    words = ["sac", "--wandb-tags", "a", "b", "Pendulum-v1", "--quiet"]
    with pytest.raises(
        UserError,
        match="--wandb-tags took all of a b Pendulum-v1 as its tags - put ALGORITHM and",
    ):
        require_not_swallowed(words, {"--wandb-tags": "tags"})
    require_not_swallowed(["sac", "E", "--wandb-tags", "a"], {"--wandb-tags": "tags"})


PRINTING = """
import ctypes, os, sys
import gymnasium



class Env(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("from Python")
        os.system("echo from a program")
        print("from a kept stream", file=sys.__stdout__)
        ctypes.CDLL(None).puts(b"from C")
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        return action, 1.0, True, False, {}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has another C library")
def test_json_and_quiet_print_only_the_result_to_stdout(tmp_path: Path) -> None:
    (tmp_path / "env.py").write_text(PRINTING)

    def output(*words: str) -> str:
        command = [sys.executable, "-m", "footlight", *words]
        buffered = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=buffered)
        assert done.returncode in (0, 6), done.stderr  # 6: findings
        assert "from Python" in done.stderr
        for source in ("a program", "a kept stream", "C"):
            assert f"from {source}" in done.stderr
        return done.stdout

    small = "--steps 8 --n-steps 4 --minibatch-size 4 --hidden-sizes 4 --compile off --quiet"
    assert output("train", "ppo", "env.py:Env", *small.split(), "--run-dir", "run") == "run\n"
    assert output("resume", "run", "--steps", "12", "--quiet") == "run\n"
    returns = json.loads(output("evaluate", "run", "--episodes", "2", "--json"))["returns"]
    assert returns == [1.0, 1.0]
    assert json.loads(output("check-env", "env.py:Env", "--no-probes", "--json"))


def test_modules_of_the_working_directory_can_be_imported(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for _ in range(2):
        add_working_directory()
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
