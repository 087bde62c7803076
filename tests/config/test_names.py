"""Configs of all algorithms, by their names at the top of the package."""

import copy
import dataclasses

import pytest

import footlight
from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.names import CONFIGS, config_name
from footlight.config.options import Options
from footlight.environments.atari import AtariConfig
from footlight.errors import UserError


def test_every_config_is_at_the_top_of_the_package() -> None:
    assert CONFIGS.keys() == ALGORITHMS.keys()
    for algorithm, name in CONFIGS.items():
        assert name in footlight.__all__
        found = getattr(footlight, name)
        assert found is config_class(algorithm)
        assert config_name(found()) == f"a footlight.{name}, for {algorithm}"
    assert footlight.Options is Options
    assert config_name(footlight.Options()) is None


def test_unknown_field_of_a_config_object_is_named() -> None:
    for algorithm in ALGORITHMS:
        with pytest.raises(UserError, match="unknown field 'gama' - did you mean 'gamma'"):
            config_class(algorithm)(gama=0.9)
    with pytest.raises(UserError, match="unknown field 'step' - did you mean 'steps'"):
        footlight.Options(step=1)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="unknown field 'frameskip' - did you mean 'frame_skip'"):
        AtariConfig(frameskip=1)  # type: ignore[call-arg]


def test_config_objects_are_copied() -> None:
    config = footlight.SACConfig(gamma=0.5)
    assert copy.deepcopy(config) == config
    assert dataclasses.replace(config, gamma=0.9) == footlight.SACConfig(gamma=0.9)
