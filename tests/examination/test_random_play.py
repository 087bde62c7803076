"""What random play measures, beside numbers computed by hand."""

import broken_environments as broken
import numpy as np

from footlight.environments import probes
from footlight.examination.contract import Contract
from footlight.examination.random_play import GAMMA, Range, play


def test_ranges_are_those_of_numpy() -> None:
    rows = np.random.default_rng(0).normal(1e6, 1e-2, (100, 3))
    rows[:, 1] = 7
    found = Range()
    for row in rows:
        found.add(row)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, rows.std(0), rtol=1e-6)
    np.testing.assert_allclose(found.rms, np.sqrt((rows**2).mean(0)), rtol=1e-12)
    assert found.varies.tolist() == [True, False, True]


def test_numbers_whose_squares_overflow_have_an_infinite_spread() -> None:
    found = Range()
    for row in ([1e200, 1e308, 1.0], [-1e200, -1e308, 1.0], [1e200, 1e308, 1.0]):
        found.add(np.array(row))
    assert found.std.tolist() == [np.inf, np.inf, 0]
    assert found.rms.tolist() == [np.inf, np.inf, 1]
    same = Range()
    same.add(np.array([1e200]))
    assert same.rms.tolist() == [1e200]


def test_returns_and_ends() -> None:
    played = play(Contract(probes.TimeLimit()), seed=1)
    assert {(each.total, each.length) for each in played.episodes} == {(5.0, 5)}
    assert all(each.truncated and not each.terminated for each in played.episodes)
    expected = sum(GAMMA**step for step in range(5))
    assert abs(played.episodes[0].discounted - expected) < 1e-12
    assert len(played.episodes) == 64
    assert played.is_complete


def test_play_lasts_while_every_reward_is_zero() -> None:
    class NoReward(broken.Healthy):
        limit = 2

        def reward(self) -> float:
            return 0.0

    assert play(Contract(NoReward()), seed=1).num_steps == 500


def test_a_clock_in_the_observation_is_seen() -> None:
    assert play(Contract(probes.Terminating()), seed=1).shows_time
    assert not play(Contract(probes.TimeLimit()), seed=1).shows_time
    assert not play(Contract(broken.Healthy()), seed=1).shows_time


def test_play_ends_with_the_time(monkeypatch: object) -> None:
    seconds = iter(range(0, 100_000, 100))
    played = play(Contract(broken.Healthy()), seed=1, clock=lambda: float(next(seconds)))
    assert 0 < played.num_steps < 10


def test_play_ends_at_a_violation() -> None:
    played = play(Contract(broken.OldStep()), seed=1)
    assert not played.is_complete
    assert played.num_steps == 0
