"""Arguments before they are parsed: values joined with options, and the search path."""

import sys

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


def test_modules_of_the_working_directory_can_be_imported(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for _ in range(2):
        add_working_directory()
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
