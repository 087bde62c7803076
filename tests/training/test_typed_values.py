"""Config and options as objects: what they state, what takes precedence, what is refused."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import footlight
from footlight.config.options import Options
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.training.typed_values import Given

PENDULUM = EnvironmentSource.of("Pendulum-v1")


def resolved(
    config: Any = None, options: Any = None, environment: Any = PENDULUM, preset: Any = True,
    **values: Any,
) -> Any:  # fmt: skip
    given = Given.split(config, options, values)
    return given.resolve("sac", footlight.SACConfig, environment, preset)


def test_objects_state_every_field_and_keywords_override_them() -> None:
    config, options = footlight.SACConfig(gamma=0.5, tau=0.5), Options(steps=50, num_envs=2)
    found = resolved(config, options, gamma=0.6, seed=9)
    assert found.fields == {**vars(config), "gamma": 0.6}
    assert found.options == {k: v for k, v in {**vars(options), "seed": 9}.items() if v is not None}


def test_without_objects_nothing_changes() -> None:
    found = resolved(gamma=0.6)
    assert found.preset == "sac/Pendulum-v1"
    assert found.options["steps"] == 10_000
    assert not found.notes


def test_options_of_the_preset_apply_beside_a_config() -> None:
    found = resolved(footlight.SACConfig())
    assert found.preset == "sac/Pendulum-v1"
    assert found.options == {"steps": 10_000}
    assert found.fields == vars(footlight.SACConfig())
    assert found.notes == (
        "config given as an object: of the preset sac/Pendulum-v1, only steps applies",
    )


def test_fields_of_the_preset_apply_beside_options() -> None:
    found = resolved(options=Options(steps=50))
    assert found.preset == "sac/Pendulum-v1"
    assert found.fields == found.of_preset
    assert found.fields["gamma"] == 0.98
    assert "only " in found.notes[0]
    assert found.notes[0].startswith("options given as an object: of the preset sac/Pendulum-v1")


@pytest.mark.parametrize(
    "given",
    [
        {"config": footlight.SACConfig(), "options": Options()},
        {"config": footlight.SACConfig(), "steps": 10},
        {"config": footlight.SACConfig(), "steps": 10, "preset": "sac/Pendulum-v1"},
    ],
)
def test_preset_of_which_nothing_applies_is_none(given: dict[str, Any]) -> None:
    found = resolved(**given)
    assert found.preset is None
    assert found.notes[0].endswith("of the preset sac/Pendulum-v1, nothing applies")
    assert not resolved(**given | {"preset": False}).notes


def test_file_beside_options_is_overridden_by_them(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("gamma = 0.5\nsteps = 7\n")
    found = resolved(file, Options(steps=50), preset=False)
    assert (found.fields, found.options["steps"]) == ({"gamma": 0.5}, 50)
    assert resolved(str(file), preset=False).options == {"steps": 7}


def test_environments_that_exist_are_counted_rather_than_the_default() -> None:
    source = EnvironmentSource.of(gymnasium.make_vec("Pendulum-v1", 3))
    assert "num_envs" not in resolved(options=Options(), environment=source).options
    assert resolved(options=Options(num_envs=2), environment=source).options["num_envs"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"config": footlight.TD3Config()},
            r"config is a footlight.TD3Config, for td3 - sac .* - give footlight.SACConfig\(...\)",
        ),
        ({"config": footlight.Options()}, r"config is Options\(.* - give footlight.SACConfig"),
        ({"config": {"gamma": 0.5}}, r"config is {'gamma': 0.5}"),
        ({"options": {"steps": 5}}, r"options is {'steps': 5} - give footlight.Options\(...\)"),
        ({"options": footlight.SACConfig()}, "options is Config"),
    ],
)
def test_objects_of_other_classes_are_refused_by_name(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolved(**given)


def test_run_from_objects_equals_that_from_keywords(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"hidden_sizes": (4,), "batch_size": 4, "learning_starts": 5}
    options: dict[str, Any] = {"steps": 20, "compile": "off", "eval_episodes": 0, "threads": 1}
    one = footlight.train(
        "sac", "Pendulum-v1", config=footlight.SACConfig(**fields), options=Options(**options),
        run_dir=tmp_path / "one", quiet=True,
    )  # fmt: skip
    two = footlight.train(
        "sac", "Pendulum-v1", preset=False, run_dir=tmp_path / "two", quiet=True, **fields,
        **options,
    )  # fmt: skip
    assert one.config == two.config
    assert one.config["preset"] is None
    observation = [0.5, 0.5, 0.1]
    assert one.policy.act(observation) == two.policy.act(observation)
