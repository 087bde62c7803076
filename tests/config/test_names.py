"""Configs of all algorithms, by their names at the top of the package."""

import footlight
from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.names import CONFIGS, config_name
from footlight.config.options import Options


def test_every_config_is_at_the_top_of_the_package() -> None:
    assert CONFIGS.keys() == ALGORITHMS.keys()
    for algorithm, name in CONFIGS.items():
        assert name in footlight.__all__
        found = getattr(footlight, name)
        assert found is config_class(algorithm)
        assert config_name(found()) == f"a footlight.{name}, for {algorithm}"
    assert footlight.Options is Options
    assert config_name(footlight.Options()) is None
