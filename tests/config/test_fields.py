"""Config fields: values from text, TOML and Python, and the messages for invalid ones."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pytest

from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import (
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    NonNegative,
    Positive,
    Range,
    build,
    check,
    fields,
)
from footlight.errors import UserError
from footlight.streams import MAX_SEED


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config with a field of each kind."""

    gamma: Fraction = 0.99
    """Discount per step."""
    learning_rate: Positive = 3e-4
    """Step size,
    over two lines."""
    noise: NonNegative = 0.1
    batch_size: Count = 256
    """Transitions."""
    learning_starts: CountOrZero = 0
    """Steps."""
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    """Seed."""
    hidden_sizes: LayerSizes = (256, 256)
    """Widths."""
    activation: Literal["relu", "tanh"] = "relu"
    """Activation."""
    layer_norm: bool = False
    """Normalize."""
    eval_every: Annotated[int | None, Range(0)] = None
    """Steps, or none."""
    temperature: Annotated[float | Literal["auto"], Range(0, open_low=True)] = "auto"
    """A number, or auto."""
    name: str = "run"
    """Text."""
    folder: str | None = None
    """Text, or none."""
    group: str | None = None
    """Text, or none."""
    kinds: tuple[Literal["a", "b"], ...] = ()
    """Any of two."""
    tags: tuple[str, ...] = ()
    """Texts."""

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("gamma", "0.9", 0.9),
        ("gamma", "1e-3", 0.001),
        ("gamma", 1, 1.0),
        ("gamma", "0", 0.0),
        ("batch_size", "64", 64),
        ("batch_size", "1e6", 1_000_000),
        ("batch_size", "1_000", 1000),
        ("batch_size", 64.0, 64),
        ("seed", str(MAX_SEED), MAX_SEED),  # more digits than a float has
        ("seed", MAX_SEED, MAX_SEED),
        ("seed", 2**53 + 1, 2**53 + 1),
        ("hidden_sizes", "64 32", (64, 32)),
        ("hidden_sizes", "64,32", (64, 32)),
        ("hidden_sizes", "64, 32", (64, 32)),
        ("hidden_sizes", [64, 32.0], (64, 32)),
        ("hidden_sizes", ["64", "32"], (64, 32)),
        ("hidden_sizes", "", ()),
        ("hidden_sizes", "[64, 32]", (64, 32)),
        ("hidden_sizes", ["[64,", "32]"], (64, 32)),
        ("hidden_sizes", ["64,32"], (64, 32)),
        ("hidden_sizes", np.array([64, 32]), (64, 32)),
        ("hidden_sizes", [np.int64(64), np.int32(32)], (64, 32)),
        ("batch_size", 1e5, 100_000),
        ("batch_size", "1.5e3", 1500),
        ("batch_size", np.int64(64), 64),
        ("batch_size", np.float64(64), 64),
        ("batch_size", np.array(64), 64),
        ("seed", "9007199254740993", 2**53 + 1),
        ("seed", "9007199254740993.0", 2**53 + 1),
        ("seed", np.uint64(2**53 + 1), 2**53 + 1),
        ("gamma", np.float32(0.5), 0.5),
        ("gamma", np.int64(1), 1.0),
        ("layer_norm", np.True_, True),
        ("layer_norm", "False", False),
        ("eval_every", "None", None),
        ("eval_every", np.int16(7), 7),
        ("name", np.str_("first"), "first"),
        ("tags", ["two words", "a,b"], ("two words", "a,b")),
        ("tags", "a,b", ("a", "b")),
        ("activation", "tanh", "tanh"),
        ("layer_norm", "true", True),
        ("layer_norm", "false", False),
        ("layer_norm", True, True),
        ("eval_every", "none", None),
        ("eval_every", None, None),
        ("eval_every", "500", 500),
        ("group", None, None),
        ("group", "none", None),
        ("group", "first", "first"),
        ("kinds", ["b", "a"], ("b", "a")),
        ("kinds", "a", ("a",)),
        ("kinds", ["none"], ()),
        ("kinds", (), ()),
        ("temperature", "auto", "auto"),
        ("temperature", "0.5", 0.5),
        ("name", "first", "first"),
        ("name", "1", "1"),
        ("folder", "none", None),
        ("folder", None, None),
        ("folder", "data", "data"),
    ],
)
def test_values_are_converted(name: str, given: Any, expected: Any) -> None:
    value = getattr(build(Config, {name: given}), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("gamma", "1.5", r"gamma is 1\.5 - it must be a number in \[0, 1\]"),
        ("gamma", -0.1, r"gamma is -0\.1 - "),
        ("gamma", "nan", "gamma is nan - "),
        ("gamma", float("nan"), "gamma is nan - "),
        ("gamma", "much", "gamma is 'much' - it must be a number"),
        ("gamma", True, "gamma is True - "),
        ("gamma", None, "gamma is None - "),
        ("gamma", [0.9], r"gamma is \[0\.9\] - "),
        ("learning_rate", 0, r"learning_rate is 0(\.0)? - it must be a number > 0"),
        ("learning_rate", "inf", "learning_rate is inf - "),
        ("noise", -1e-9, "noise is -1e-09 - it must be a number >= 0"),
        ("batch_size", 0, "batch_size is 0 - it must be an integer >= 1"),
        ("batch_size", "2.5", r"batch_size is '2\.5' - it must be an integer"),
        ("batch_size", "inf", "batch_size is 'inf' - "),
        ("batch_size", "nan", "batch_size is 'nan' - "),
        ("batch_size", True, "batch_size is True - "),
        ("batch_size", np.True_, "batch_size is True - "),
        ("batch_size", np.float32(2.5), r"batch_size is 2\.5 - "),
        ("batch_size", "9007199254740992.5", "batch_size is '9007199254740992.5' - "),
        (
            "batch_size",
            "1e999999999",
            "batch_size is '1e999999999' - ",
        ),  # at once, and without its billion digits
        ("batch_size", [64], r"batch_size is \[64\] - "),
        ("gamma", np.True_, "gamma is True - "),
        ("layer_norm", np.int64(1), "layer_norm is 1 - "),
        ("batch_size", "none", "batch_size is 'none' - "),
        ("learning_starts", -1, "learning_starts is -1 - it must be an integer >= 0"),
        ("seed", MAX_SEED + 1, "seed is "),
        pytest.param("seed", 10**400, "seed is 1000", id="seed-huge"),
        ("seed", -1, "seed is -1 - "),
        ("hidden_sizes", "64 0", r"hidden_sizes is 64 0 - it must be a list of integers >= 1"),
        ("hidden_sizes", "64 x", "hidden_sizes is '64 x' - "),
        ("hidden_sizes", 64, "hidden_sizes is 64 - "),
        ("hidden_sizes", [64, True], "hidden_sizes is 64 True - "),
        ("activation", "sigmoid", r"activation is 'sigmoid' - it must be one of relu, tanh"),
        ("layer_norm", "yes", r"layer_norm is 'yes' - it must be true or false"),
        ("layer_norm", 1, "layer_norm is 1 - "),
        ("eval_every", -5, r"eval_every is -5 - it must be an integer >= 0 or none"),
        ("eval_every", "never", "eval_every is 'never' - "),
        (
            "temperature",
            "automatic",
            r"temperature is 'automatic' - it must be a number > 0 or auto",
        ),
        ("temperature", "0", "temperature is "),
    ],
)
def test_invalid_values_are_rejected(name: str, given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(Config, {name: given})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("gamma", "0.9"),
        ("gamma", float("nan")),
        ("gamma", 1.1),
        ("batch_size", 2.0),
        ("batch_size", False),
        ("hidden_sizes", [64]),
        ("hidden_sizes", (64, 0)),
        ("hidden_sizes", (64.0,)),
        ("activation", "elu"),
        ("layer_norm", 1),
        ("layer_norm", "true"),
        ("eval_every", -1),
    ],
)
def test_config_validates_itself(name: str, given: Any) -> None:
    make: Callable[..., Config] = Config
    with pytest.raises(UserError, match=f"{name} is "):
        make(**{name: given})
    with pytest.raises(UserError, match=f"{name} is "):
        dataclasses.replace(Config(), **{name: given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gama", r"^unknown field 'gama' - did you mean 'gamma'\?$"),
        ("batchsize", r"did you mean 'batch_size'\?$"),
        ("hidden_layers", r"did you mean 'hidden_sizes'\?$"),
        ("GAMMA", r"did you mean 'gamma'\?$"),
        (
            "total_timesteps",
            r"^unknown field 'total_timesteps' - see --help for all fields$",
        ),  # it has no steps
        ("lr", r"^unknown field 'lr' - did you mean 'learning_rate'\?$"),
        ("zzz", r"^unknown field 'zzz' - see --help for all fields$"),
    ],
)
def test_unknown_field_is_reported_with_the_closest_name(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(Config, {"gamma": 0.9, given: 1})


def test_config_built_from_its_own_values_is_equal() -> None:
    config = Config(gamma=0.5, hidden_sizes=(), eval_every=3, seed=MAX_SEED)
    assert build(Config, dataclasses.asdict(config)) == config


def test_docstrings_are_found() -> None:
    found = fields(Config)
    assert list(found) == [field.name for field in dataclasses.fields(Config)]
    assert found["gamma"].help == "Discount per step."
    assert found["learning_rate"].help == "Step size, over two lines."
    assert found["noise"].help == ""
    assert found["batch_size"].default == 256
    assert found["batch_size"].range == Range(1)
    assert found["name"].range is None


def test_every_field_of_every_algorithm_has_help() -> None:
    for name in ALGORITHMS:
        for field in fields(config_class(name)).values():
            assert field.help, f"{name}: {field.name}"


def test_help_of_the_initial_weights_names_every_choice() -> None:
    for name in ALGORITHMS:
        field = fields(config_class(name))["initialization"]
        assert all(word in field.help for word in get_args(field.type)), name


@pytest.mark.parametrize("module", [__name__, "nowhere"])
def test_config_without_source_code_works(module: str) -> None:
    # As in an interactive session: there is nothing that `inspect` could read
    words: dict[str, Any] = {"__name__": module}
    exec(  # the test is about code without a file
        "from dataclasses import dataclass\nfrom footlight.config.fields import Fraction, check\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Typed:\n"
        "    gamma: Fraction = 0.9\n    'Discount.'\n"
        "    def __post_init__(self): check(self)\n",
        words,
    )
    assert build(words["Typed"], {"gamma": "0.5"}).gamma == 0.5
    with pytest.raises(UserError, match="gamma is 2"):
        build(words["Typed"], {"gamma": 2})
