"""What an algorithm lacks is named, with the line to add."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import pytest
from own_examples import PureA2C, TorchA2C, pure

import footlight
from footlight.algorithms import a2c, config_class, find
from footlight.algorithms.protocol import Buffer
from footlight.algorithms.requirements import (
    _BUFFER,
    declared,
    is_ordinary,
    is_ours,
    require_buffer,
    require_parts,
)
from footlight.errors import UserError


def without(algorithm: Any, name: str) -> Any:
    """The same class with everything but this name."""
    space = {key: value for key, value in vars(algorithm).items() if not key.startswith("__")}
    annotations = {key: kind for key, kind in algorithm.__annotations__.items() if key != name}
    space = {key: value for key, value in space.items() if key != name}
    if name != "__init__" and "__init__" in vars(algorithm):
        space["__init__"] = algorithm.__init__
    return type("Mine", (), {**space, "__annotations__": annotations})


PURE = {
    "config": "`config: Config`",
    "networks": "`networks: Networks`",
    "network": "`network = MyNetwork`",
    "init": "`def init(self, num_envs): return State(...)`",
    "buffer": "`buffer = footlight.algorithms.authoring.rollout_buffer`",
    "act": "`act = footlight.algorithms.authoring.sample_or_mode`",
    "update": "`def update(self, state, batch, noise): ...`",
}
ORDINARY = {
    "config": "`config: Config`",
    "buffer": "`buffer = footlight.algorithms.authoring.rollout_buffer`",
    "update": "`def update(self, batch): ...`",
    "__init__": "`def __init__(self, config, spaces): ...`",
}


@pytest.mark.parametrize(
    ("algorithm", "name", "line"),
    [
        *((PureA2C, name, line) for name, line in PURE.items()),
        *((TorchA2C, name, line) for name, line in ORDINARY.items()),
    ],
)
def test_missing_part_is_named_with_the_line_to_add(
    algorithm: Any, name: str, line: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        footlight.train(without(algorithm, name), "CartPole-v1", steps=10, quiet=True)
    message = str(caught.value)
    assert message.startswith("Mine has no `")
    assert line in message
    assert len(message) < 300
    assert not any(tmp_path.iterdir())  # nothing was created


def test_several_missing_parts_are_named_together() -> None:
    @dataclass(frozen=True)
    class Half:
        config: a2c.Config

        def init(self, num_envs: int) -> None: ...

    with pytest.raises(UserError, match=r"Half has no `networks`, `create`, .*`act` and `updates`"):
        find(Half)


def test_objects_that_are_no_class_need_everything() -> None:
    with pytest.raises(UserError, match=r"has no .*`METRICS`"):
        require_parts(object.__new__(PureA2C))


def test_kinds_of_algorithms_are_told_apart() -> None:
    assert is_ordinary(TorchA2C)
    assert not is_ordinary(PureA2C)
    assert not is_ordinary(a2c.A2C)
    assert is_ours(a2c.A2C)
    assert not is_ours(TorchA2C)
    assert {"config", "update", "network"} <= declared(PureA2C)
    assert "__hash__" not in declared(TorchA2C)


def test_agents_refuse_it_too() -> None:
    with pytest.raises(UserError, match="Mine has no `act`"):
        footlight.Agent(
            without(PureA2C, "act"), gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
        )
    assert pure.Config.__name__ == "Config"


@pytest.mark.parametrize("given", [5, None, [], {"sac": 1}, 1.5])
def test_what_is_no_algorithm_nor_its_name_is_shown(given: Any) -> None:
    with pytest.raises(UserError) as raised:
        find(given)
    assert str(raised.value).startswith(f"{given!r} is not an algorithm - give a name such as sac")


def test_environment_in_place_of_the_algorithm_is_told() -> None:
    with pytest.raises(
        UserError, match="'Pendulum-v1' is the id of an environment - the algorithm"
    ):
        find("Pendulum-v1")


def test_what_is_no_algorithm_at_all_is_called_so() -> None:
    class Other:
        pass

    def mine(config: Any) -> None: ...

    for given, message in ((Other, "Other is not an algorithm"), (mine, "mine is a function")):
        with pytest.raises(UserError, match=rf"{message} - .* see docs/own-algorithm.md"):
            require_parts(given)


def test_a_config_that_is_not_a_dataclass_is_refused() -> None:
    class Plain:
        gamma = 0.9

    kind = type("Mine", (TorchA2C,), {"__annotations__": {"config": Plain}, "__module__": __name__})
    with pytest.raises(
        UserError, match=r"Plain, the config of Mine, is not a dataclass .* `@dataclass"
    ):
        config_class(kind)


def test_all_that_a_buffer_needs_can_be_named() -> None:
    assert _BUFFER.keys() == {name for name in declared(Buffer) if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted({*_BUFFER} - {"due"}))
def test_what_a_buffer_lacks_is_named(name: str) -> None:
    def buffer_without(self: Any, num_envs: int) -> Any:
        rest = {each: None for each in _BUFFER if each != name}
        return type("Ring", (), rest)()

    mine = type("Mine", (PureA2C,), {"buffer": buffer_without})
    wanted = rf"Mine.buffer returned a Ring, which has no `{name}` - add `.*{name}"
    with pytest.raises(UserError, match=wanted):
        footlight.Agent(mine, gymnasium.spaces.Box(-1, 1, (4,)), gymnasium.spaces.Discrete(2))


def test_whatever_is_no_buffer_at_all_is_shown() -> None:
    for given, shown in ((None, "None"), ([], "a list")):
        with pytest.raises(UserError, match=f"Mine.buffer returned {shown} - .*rollout_buffer"):
            require_buffer(type("Mine", (), {}), given)
