"""The documentation: Python blocks run, commands parse, and tables, links and words hold."""

import functools
import importlib.util
import inspect
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from documentation.pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    commands,
    is_synopsis,
    mentions,
    page_name,
    prose,
    python_blocks,
    shell_lines,
)
from variants import VARIANTS

import footlight
from footlight.algorithms import ALGORITHMS, config_class, find
from footlight.cli import main as command_line
from footlight.cli.parser import build_parser
from footlight.cli.train import build_train_parser
from footlight.config.fields import fields

MAX_COLUMNS = 100
LARGE = re.compile(r"\b\d{1,3}(?:_\d{3})+\b")
MAX_STEPS = 200


class Race(gymnasium.Env[Any, Any]):
    """Stands in for CarRacing-v3, whose package the tests do without."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros((84, 84, 3), np.uint8), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.full((84, 84, 3), self.time, np.uint8), 1.0, False, self.time >= 20, {}


class Unchanged(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Stands in for wrappers that need OpenCV; drops the color where the real one does."""

    def __init__(self, env: Any, shape: Any = None) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        return observation.reshape(84, 84, -1)[..., 0], info

    def step(self, action: Any) -> Any:
        observation, *rest = self.env.step(action)
        return observation.reshape(84, 84, -1)[..., 0], *rest


def with_stand_ins(monkeypatch: pytest.MonkeyPatch, block: Block) -> None:
    """What a block needs that only some machines have, and short episodes, in videos, too."""
    monkeypatch.setattr(gymnasium.spec("Pendulum-v1"), "max_episode_steps", 40)
    if "CarRacing" in block.text:
        gymnasium.register("CarRacing-v3", lambda continuous: Race())
        monkeypatch.setattr("gymnasium.wrappers.ResizeObservation", Unchanged)
        monkeypatch.setattr("gymnasium.wrappers.GrayscaleObservation", Unchanged)
    if "policy.onnx" in block.text:
        run = footlight.train("sac", "Pendulum-v1", steps=10, hidden_sizes=(4,))
        run.export("policy.onnx")


def shrunk(text: str) -> str:
    """A block with its large numbers of steps divided, in the same order."""
    return LARGE.sub(lambda match: str(min(int(match[0]) // 50, MAX_STEPS)), text)


@pytest.mark.parametrize("block", python_blocks(), ids=lambda block: block.name)
def test_python_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, runs = footlight.train, []

    def train_briefly(*arguments: Any, **options: Any) -> Any:
        brief = {"steps": MAX_STEPS, "compile": "off", "eval_episodes": 1, "threads": 1}
        if arguments[0] in {"sac", "td3", "ddpg"}:
            brief |= {"learning_starts": 20, "updates_per_step": 0.25}
        runs.append(train(*arguments, **(brief | options)))
        return runs[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(footlight, "train", train_briefly)
    with_stand_ins(monkeypatch, block)
    runs.clear()
    Path("block.py").write_text(shrunk(block.text), encoding="utf-8")
    try:
        names = runpy.run_path("block.py")
        assert len(runs) == block.text.count("footlight.train(")
        ended = [run.result for run in runs]  # a hook may have ended it
        assert all(each["status"] == "finished" or "stop_reason" in each for each in ended)
        # An agent takes all the steps of the block's loop, one of several environments a few more
        agents = [value for value in names.values() if isinstance(value, footlight.Agent)]
        numbers = [int(number) for number in re.findall(r"\d+", shrunk(block.text))]
        assert all(
            any(0 <= agent.num_steps - number < agent.num_envs for number in numbers)
            for agent in agents
        )
    finally:
        gymnasium.registry.pop("CarRacing-v3", None)


def test_blocks_are_found_and_shrunk() -> None:
    assert len(python_blocks()) >= 8
    assert shrunk("steps=5_000; steps=6_000; n=512; m=1_000_000") == (
        "steps=100; steps=120; n=512; m=200"
    )


# Commands


def parsed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the real command line passes on for `line`; raises where it refuses the line."""
    received: list[Any] = []

    def receive(*arguments: Any, **options: Any) -> Any:
        received.append((arguments, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("footlight.api.train", receive)
    monkeypatch.setattr("footlight.api.train_seeds", receive)
    for name in command_line.COMMANDS:
        monkeypatch.setitem(command_line.COMMANDS, name, receive)
    try:
        code = command_line.main(shlex.split(line)[1:])
    except SystemExit as error:  # --help
        code = int(error.code or 0)
    assert code in {0, 130}, f"exit code {code}"
    return received


TO_TYPE = [(name, line) for name, line in commands() if not is_synopsis(line)]


@pytest.mark.parametrize(("name", "line"), TO_TYPE, ids=[f"{n} {line}" for n, line in TO_TYPE])
def test_command_parses(name: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(line, monkeypatch) or "--help" in line


@pytest.mark.parametrize("line", ["footlight train sac Pendulum-v1 --gama 1", "footlight fly"])
def test_invalid_command_does_not_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        parsed(line, monkeypatch)


@functools.cache
def options_of_commands() -> dict[str, set[str]]:
    """The options of each command; those of `train` for all algorithms and for Atari games."""
    from footlight.algorithms import ALGORITHMS

    subparsers = build_parser()._subparsers
    assert subparsers is not None
    choices: Any = subparsers._group_actions[0].choices
    options = {name: set(parser._option_string_actions) for name, parser in choices.items()}
    for algorithm in ALGORITHMS:
        parser = build_train_parser(algorithm, "ALE/Pong-v5")
        options["train"] |= parser._option_string_actions.keys()
    return options


SYNOPSIS = ROOT / "docs" / "command-line.md"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# TensorBoard's; those of pip and uv; an example of a misspelled one
NOT_OURS = {"--logdir", "--index-url", "--torch-backend", "--gama"} | {
    "--address", "--generate", "--head", "--include-dashboard", "--port",  # of `ray`
}  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_option_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(OPTION.findall(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)))
    known = set().union(*options_of_commands().values()) | NOT_OURS
    assert named <= known, named - known


@pytest.mark.parametrize(("name", "text"), mentions())
def test_mentioned_command_exists_and_has_its_options(name: str, text: str) -> None:
    options = options_of_commands()
    command = text.split()[1]
    assert command in options
    assert set(OPTION.findall(text)) <= options[command]


def test_synopsis_lists_every_option_of_every_command() -> None:
    """The synopsis and the parsers name the same options; `train` has fields, too."""
    lines = [line for block in blocks(SYNOPSIS) for line in shell_lines(block.text)]
    synopsis: dict[str, set[str]] = {}
    for line in filter(is_synopsis, lines):
        synopsis.setdefault(line.split()[1], set()).update(OPTION.findall(line))
    for command, options in options_of_commands().items():
        named = {word for word in options if word.startswith("--")}
        named -= {"--help", "--debug", "--follow"}
        assert command == "train" or synopsis.get(command, set()) == named, command


# Tables, links, lines and words


LONG_TODAY: set[str] = set()


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_lines_outside_tables_are_short(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    wide = [n for n, line in lines if len(line) > MAX_COLUMNS and not line.startswith("| ")]
    assert bool(wide) == (page_name(path) in LONG_TODAY), f"lines {wide}"


# The project's words: what replaces each is in CONTRIBUTING.
UNWANTED = re.compile(
    r"\b(films?|filmed|pictures?|anew|mends?|mended|astray|house|"
    r"behaviour|colour|grey|normalis\w+|initialis\w+|optimis\w+|favour\w*|neighbour\w*|"
    r"is no (?:advantage|transition|environment)|gives? back|goes on|went on|for ever)\b",
    re.IGNORECASE,
)
UNWANTED_TODAY: set[str] = set()


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_one_concept_has_one_word(path: Path) -> None:
    found = UNWANTED.findall(prose(path.read_text(encoding="utf-8")))
    assert bool(found) == (page_name(path) in UNWANTED_TODAY), found


def load_tables() -> Any:
    """The module docs/tables.py, which is not part of the package."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    return tables


def test_what_pages_take_from_the_code_is_up_to_date() -> None:
    tables = load_tables()
    pages = [path for path in PAGES if path.is_relative_to(ROOT / "docs")]
    texts = {page_name(path): path.read_text(encoding="utf-8") for path in pages}
    assert sum(len(tables.MARKER.findall(text)) for text in texts.values()) >= 10
    for page, text in texts.items():
        opened = sum(text.count(f"<!-- {kind}") for kind in tables.MAKERS)
        assert opened == len(tables.MARKER.findall(text)), page
        assert tables.rewritten(text) == text, f"{page} is out of date - run `make docs`"


def test_source_of_a_method_is_dedented_and_complete() -> None:
    place = "footlight/algorithms/sac.py:SAC.update_critic"
    lines = list(load_tables().source_rows(place))
    assert lines[0] == '```py title="footlight/algorithms/sac.py"'
    assert lines[1].startswith("def update_critic(self")
    assert lines[1].rstrip().endswith("return outcome")


def test_table_of_spaces_says_what_the_algorithms_accept() -> None:
    rows = list(load_tables().space_rows("replay-actor-critic"))
    assert "| actions | Discrete | yes |" in rows
    assert "| actions | Box with finite bounds | no |" in rows
    assert "| environments | several (`num_envs`) | yes |" in rows
    assert "| environments | several (`num_envs`) | no |" in load_tables().space_rows("stream-ac")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_page_of_an_algorithm_names_its_fields_and_metrics(algorithm: str) -> None:
    page = (ROOT / "docs" / "algorithms" / f"{algorithm}.md").read_text(encoding="utf-8")
    shared = (ROOT / "docs" / "algorithms" / "shared.md").read_text(encoding="utf-8")
    found: Any = find(algorithm)
    names = [*found.METRICS, *fields(config_class(algorithm))]
    if algorithm in VARIANTS:  # whose page has its own values, and says where the others are
        own = [*inspect.get_annotations(config_class(algorithm))]
        assert [name for name in own if f"| `{name}`" not in page] == []
        assert "[SAC](sac.md)" in page
        shared += (ROOT / "docs" / "algorithms" / "sac.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page + shared] == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target
