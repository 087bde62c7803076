"""What a shell completes, asked as its script asks, and in the shells that are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from footlight.algorithms import ALGORITHMS
from footlight.cli import shell_words
from footlight.cli.commands import COMMANDS
from footlight.cli.main import main
from footlight.cli.shell_words import FILES, words
from footlight.cli.train import build_train_parser


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("tra", ["train", "track"]),
        ("nothing", []),
        ("nothing ", []),
        ("train s", ["sac", "sac-discrete", "simba", "stream-ac"]),
        ("train mine", [FILES]),
        ("train sac Pendu", ["Pendulum-v1"]),
        ("train --quiet --seed 3 sac Pendu", ["Pendulum-v1"]),
        ("train sac mine", [FILES]),
        ("train sac Pendulum-v1 ", []),
        ("train sac Pendulum-v1 --warm", ["--warmup"]),
        ("train sac Pendulum-v1 --warmup ", ["uniform", "walk", "policy"]),
        ("train sac Pendulum-v1 --optimizer rms", ["rmsprop", "rmsprop-tf"]),
        ("train sac Pendulum-v1 --wandb-mode o", ["online", "offline"]),
        ("train a2c Pendulum-v1 --warm", []),
        ("train a2c Pendulum-v1 --layer-norm t", ["true"]),
        ("train a2c Pendulum-v1 --gamma 0", []),
        ("train mine.py:Mine Pendulum-v1 --dev", ["--device"]),
        ("train a2c ALE/Pong-v5 --sticky", ["--sticky-actions"]),
        ("train sac Pendulum-v1 --sticky", []),
        ("train td3 Pendulum-v1 --config ", [FILES]),
        ("train td3 Pendulum-v1 --hook ", [FILES]),
        ("train td3 --preset P", ["Pendulum-v1"]),
        ("resume ", [FILES]),
        ("resume run --track ", ["tensorboard", "wandb", "none"]),
        ("plot a b --x st", ["steps"]),
        ("plot a --metric ", []),
        ("evaluate run --det", ["--deterministic"]),
        ("track run --f", []),  # hidden from the help page, too
        ("list ", ["algorithms", "environments", "presets"]),
        ("completion z", ["zsh"]),
    ],
)
def test_words(typed: str, found: list[str]) -> None:
    assert words(typed.split(" ")) == found


def test_commands_are_those_of_the_help_page() -> None:
    assert set(words([""])) == {"train", *COMMANDS}
    assert words([]) == words([""])


def test_games_are_offered_once_their_prefix_is_typed() -> None:
    pytest.importorskip("ale_py")
    assert words(["train", "a2c", "AL"]) == ["ALE/"]
    assert words(["train", "a2c", "ALE/Break"]) == ["ALE/Breakout-v5"]


@pytest.mark.parametrize("environment", ["Pendulum-v1", "ALE/Pong-v5"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_options_of_train_are_those_of_its_parser(algorithm: str, environment: str) -> None:
    parser = build_train_parser(algorithm, environment)
    known = {name for action in parser._actions for name in action.option_strings}
    found = words(["train", algorithm, environment, "--"])
    assert set(found) == known - {"-h"}
    assert len(found) == len(set(found))


def test_answer_is_empty_where_something_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_words, "words", lambda arguments: [][1])
    assert main(["completion", "words", "tra"]) == 0
    assert capsys.readouterr().out == "\n"


SHELLS = {
    "bash": """
        eval "$(footlight completion bash)"
        COMP_WORDS=(footlight train s) COMP_CWORD=2
        _footlight footlight s train
        printf '%s\\n' "${COMPREPLY[@]}"
        COMP_WORDS=(footlight plot m) COMP_CWORD=2
        _footlight footlight m plot
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { print defined }
        _files() { print "my run" }
        compadd() { shift $argv[(i)--]; (( $# )) && print -l -- $argv }
        eval "$(footlight completion zsh)"
        words=(footlight train s) CURRENT=3
        _footlight
        words=(footlight plot m) CURRENT=3
        _footlight
    """,
    "fish": """
        footlight completion fish | source
        complete -C "footlight train s"
        complete -C "footlight plot m"
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_script_in_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "my run").touch()
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "footlight"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m footlight "$@"\n')
    program.chmod(0o755)
    found = subprocess.run(
        [shell, "-c", SHELLS[shell]],
        cwd=tmp_path,
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line for line in found.stdout.splitlines() if line != "defined"]
    assert (lines, found.stderr) == (["sac", "sac-discrete", "simba", "stream-ac", "my run"], "")
