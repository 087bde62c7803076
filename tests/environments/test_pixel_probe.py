"""The probe environment with image observations."""

import numpy as np

from footlight.environments.pixel_probe import FollowSquare


def column(image: np.ndarray, brightness: int) -> int:
    """The column of the square of this brightness."""
    columns = np.flatnonzero((image == brightness).any((0, 2)))
    assert len(columns) == 12
    return int(columns[0]) // 12


def test_image_shows_both_squares() -> None:
    env = FollowSquare()
    image, _ = env.reset(seed=1)
    assert env.observation_space.contains(image)
    assert (column(image, 255), column(image, 128)) == (env.bright, env.dim)


def test_actions_move_the_dim_square_within_the_image() -> None:
    env = FollowSquare()
    env.reset(seed=1)
    for action, last in ((0, 0), (2, 6)):
        for _ in range(7):
            image, *_ = env.step(action)
        assert column(image, 128) == last


def test_reward_where_the_squares_were_in_line_and_truncation_after_32_steps() -> None:
    env = FollowSquare()
    env.reset(seed=1)
    for step in range(1, 33):
        bright = env.bright
        _, reward, terminated, truncated, _ = env.step(env.best())
        assert reward == (env.dim == bright)
        assert (terminated, truncated) == (False, step == 32)
