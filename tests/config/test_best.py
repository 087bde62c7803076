"""`best` in the place of an algorithm."""

import json
from pathlib import Path

import gymnasium
import pytest

import footlight
from footlight.algorithms import ALGORITHMS
from footlight.config import best
from footlight.config.presets import preset
from footlight.errors import UserError


def test_every_recommendation_is_an_algorithm_with_a_preset() -> None:
    for environment, algorithm in best._MEASURED.items():
        assert algorithm in ALGORITHMS
        if not environment.startswith("ALE/"):  # an extra
            assert environment in gymnasium.registry
        assert preset(algorithm, environment)[0] is not None


def test_environment_without_a_measurement_is_refused() -> None:
    with pytest.raises(UserError, match=r"best has no algorithm for Taxi-v3 - .*HalfCheetah-v5"):
        footlight.train("best", "Taxi-v3")


def test_only_the_word_is_replaced() -> None:
    for given in ("sac", best):
        found, introduction = best.chosen(given, lambda: "CartPole-v1")
        assert found is given
        assert introduction({"gamma": 0.9}) == []
    found, introduction = best.chosen("best", lambda: "HalfCheetah-v5")
    assert found == best._MEASURED["HalfCheetah-v5"]
    assert introduction({"gamma": 0.9})[0].endswith(f"{found} with gamma 0.9")


def test_first_line_names_algorithm_and_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "_MEASURED", {"Pendulum-v1": "td3"})
    monkeypatch.chdir(tmp_path)
    run = footlight.train("best", "Pendulum-v1", steps=10, compile="off", eval_episodes=0)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("best for Pendulum-v1 within an hour on 2 cores: td3 with gamma 0.98, ")
    assert "hidden_sizes 128 128" in first
    assert "steps" not in first  # which was given
    record = json.loads((run.folder / "config.json").read_text())
    assert (record["algorithm"], record["preset"]) == ("td3", "td3/Pendulum-v1")
