"""Environments by their id: modules, arguments, and the errors if one of them is wrong."""

import copy
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments.kinds import IdSource
from footlight.environments.make import configured, make_one, require_allowed
from footlight.environments.registry import arguments
from footlight.errors import UserError

MODULE = """
import gymnasium
from gymnasium.spaces import Box

class Sized(gymnasium.Env):
    observation_space = action_space = Box(-1, 1, (1,))

    def __init__(self, size=1, goal="near", render_mode=None):
        self.size, self.goal = size, goal

class Needy(Sized):
    def __init__(self, size, goal):
        super().__init__(size, goal)

gymnasium.register("WordsSized-v0", entry_point="words_envs:Sized", kwargs={"size": 2})
gymnasium.register("WordsNeedy-v0", entry_point="words_envs:Needy")
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "words_envs.py").write_text(MODULE)
    (tmp_path / "words_broken.py").write_text("\nimport nothing_there\n")
    (tmp_path / "words_syntax.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "words_empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("words_envs", "words_broken", "words_syntax", "words_empty"):
        sys.modules.pop(name, None)
    for name in ("WordsSized-v0", "WordsNeedy-v0"):
        gymnasium.registry.pop(name, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("size=5", 5),
        ("size=-1.5", -1.5),
        ("size=1e3", 1000.0),
        ("size=true", True),
        ("size=False", False),
        ("size=none", None),
        ("size=null", None),
        ("size=far", "far"),
        ("size=a=b", "a=b"),
        ('size="5"', "5"),
        ("size=", ""),
        ("size=[1, 2]", [1, 2]),
        ("size=NaN", "NaN"),
        ("size=007", "007"),
    ],
)
def test_arguments_are_parsed_from_the_command_line(text: str, value: Any) -> None:
    found = arguments([text])["size"]
    assert found == value
    assert type(found) is type(value)


def test_arguments_from_python_are_converted_to_plain_values() -> None:
    given = {"a": np.int64(3), "b": (1, np.float64(0.5)), "c": np.arange(2), "d": {"e": None}}
    assert arguments(given) == {"a": 3, "b": [1, 0.5], "c": [0, 1], "d": {"e": None}}
    assert arguments(None) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["size:5"], "env_kwargs has 'size:5' - that is not key=value - write size=5"),
        (["size"], "env_kwargs has 'size' - that is not key=value - write key=value"),
        (["two words=5"], "env_kwargs has the name 'two words'"),
        (
            {"render_mode": "human"},
            "env_kwargs has render_mode - footlight passes that argument itself",
        ),
        ({"size": object}, "env_kwargs size is <class 'object'> - a run records numbers"),
        ({"size": float("nan")}, "env_kwargs size is nan"),
    ],
)
def test_arguments_that_cannot_be_recorded_are_refused(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        arguments(given)


def test_arguments_reach_the_environment_of_an_id() -> None:
    name = "words_envs:WordsSized-v0"
    plain: Any = make_one(configured(name)).unwrapped
    given: Any = make_one(configured(name, kwargs=["size=5", "goal=far"])).unwrapped
    assert (plain.size, plain.goal, given.size, given.goal) == (2, "near", 5, "far")


def test_instances_do_not_share_their_arguments() -> None:
    source = configured("words_envs:WordsSized-v0", kwargs={"goal": [1]})
    make_one(source).unwrapped.goal.append(2)  # type: ignore[attr-defined]
    assert make_one(source).unwrapped.goal == [1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        (
            "words_envs:WordsSized-v1",
            None,
            "'words_envs' registers no environment 'WordsSized-v1' - it registers WordsSized",
        ),
        (
            "words_empty:Env-v0",
            None,
            "registers no environment 'Env-v0' - it registers none - call gymnasium.register",
        ),
        (
            "words_nowhere:Env-v0",
            None,
            "there is no module 'words_nowhere', which 'words_nowhere:Env-v0' names",
        ),
        (
            "words_broken:Env-v0",
            None,
            r"'words_broken' of 'words_broken:Env-v0' cannot be imported - ModuleNotFoundError: "
            r"No module named 'nothing_there' \(words_broken.py, line 2\) - install nothing_there",
        ),
        (
            "words_syntax:Env-v0",
            None,
            r"cannot be imported - SyntaxError: .*\(words_syntax.py, line 2\) - fix it",
        ),
        (
            "WordsUnknown-v0",
            None,
            "unknown environment 'WordsUnknown-v0' - .* write MODULE:WordsUnknown-v0",
        ),
        ("Pendulum", None, r"^'Pendulum' has no version, .* - did you mean 'Pendulum-v1'\?$"),
        ("words_envs:WordsSized", None, "did you mean 'words_envs:WordsSized-v0'"),
        (
            "words_envs:WordsSized-v0",
            ["sise=5"],
            "env_kwargs has 'sise', which words_envs:WordsSized-v0 does not take - did you "
            r"mean 'size'\? - it takes size, goal",
        ),
        (
            "words_envs:WordsNeedy-v0",
            ["goal=far"],
            "WordsNeedy-v0 needs the argument 'size' - .* add env_kwargs size=VALUE",
        ),
        (
            "Pendulum-v1",
            ["gravity=1"],
            "env_kwargs has 'gravity', which Pendulum-v1 does not take - it takes g",
        ),
    ],
)
def test_error_names_what_was_typed(name: str, kwargs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_one(configured(name, kwargs=kwargs))


def test_arguments_are_only_for_ids() -> None:
    with pytest.raises(
        UserError,
        match=r"env_kwargs size - they are for an environment's id.* functools.partial\(object, "
        r"size=5\)",
    ):
        configured(object, kwargs={"size": 5})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"env_kwargs are not for ALE/Pong-v5 - .* use frame_skip"):
        configured("ALE/Pong-v5", kwargs={"frameskip": 1})


def test_make_from_a_spec() -> None:
    spec = copy.deepcopy(gymnasium.spec("Pendulum-v1"))
    assert configured(spec) == IdSource("Pendulum-v1")
    spec.kwargs = {"g": 9.0}
    assert configured(spec) == IdSource("Pendulum-v1", {"g": 9.0})
    spec.max_episode_steps = 7  # which no argument says
    made = make_one(configured(spec))
    made.reset(seed=0)
    assert [made.step(made.action_space.sample())[3] for _ in range(7)] == [*[False] * 6, True]


def test_argument_in_a_file_imports_no_module() -> None:
    config = {"environment": "Wrapped-v0", "env_kwargs": {"inner": {"id": ["evil:Env-v0"]}}}
    with pytest.raises(UserError, match="making it would run the module 'evil'"):
        require_allowed(Path("run"), config, None)
    require_allowed(Path("run"), config, "evil")
    require_allowed(
        Path("run"),
        {"environment": "Env-v0", "env_kwargs": {"time": "12:30", "text": "a: b c"}},
        "a",
    )
