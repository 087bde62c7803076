"""Help pages, and argument types."""

import re
from pathlib import Path

import pytest

from footlight.cli.commands import COMMANDS
from footlight.cli.main import main
from footlight.cli.parser import build_parser
from footlight.errors import UserError


def test_help_pages_show_no_escaped_percent_sign(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", *COMMANDS, "train", "train sac Pendulum-v1", "train ppo ALE/Pong-v5"):
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        assert "%%" not in capsys.readouterr().out


def test_invalid_arguments_raise_user_error() -> None:
    parser = build_parser()
    for line, words in (
        ("evaluate run --episodes 0", r"0 - it must be an integer >= 1 - see `footlight evaluate"),
        ("evaluate run --seed x", r"x - it must be an integer >= 0"),
        ("evaluate run --stochastic --deterministic", "not allowed with argument"),
        ("plot run --x days", "x is 'days' - it must be one of steps, updates"),
        ("inspect ~nobody-at-all/run", "there is no home directory ~nobody-at-all"),
    ):
        with pytest.raises(UserError, match=words):
            parser.parse_args(line.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "run", "--episode", "1"], "unknown option --episode - did you mean"),
        (["resume", "run", "--total-timesteps=5"], "did you mean '--steps'"),
        (["resume", "run", "--lr", "3"], "unknown option --lr - see `footlight resume --help`"),
        (["verify", "run", "another"], "unknown argument another - see"),
    ],
)
def test_unknown_options_are_named_with_similar_ones(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        build_parser().parse_args(words)


def test_values_are_parsed_into_their_types() -> None:
    parser = build_parser()
    options = parser.parse_args(["evaluate", "run", "--episodes", "3", "--seed", "0", "--json"])
    assert (options.run_dir, options.episodes, options.seed, options.json) == (
        Path("run"), 3, 0, True,
    )  # fmt: skip
    options = parser.parse_args(
        ["plot", "a", "b", "--label", "one", "--label", "two", "--x", "updates"]
    )
    assert (options.run_dirs, options.label, options.x) == (
        [Path("a"), Path("b")], ["one", "two"], "updates",
    )  # fmt: skip
    assert parser.parse_args(["resume", "run", "--track", "none"]).track == ["none"]
