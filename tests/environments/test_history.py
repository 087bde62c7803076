"""Actions of current episodes: kept as bytes, attached to faults, saved and read again."""

from typing import Any

import numpy as np
import pytest

from footlight.environments.episodes import FailedEpisode
from footlight.environments.history import ActionHistory, saved_actions, steps_to_restore
from footlight.types import Array


def history() -> ActionHistory:
    """Environment 0 has taken two actions, environment 1 one in its second episode."""
    actions = ActionHistory(2, np.float32)
    actions.append(np.array([[1, 2], [3, 4]], np.float32))
    actions.clear(1)
    actions.append(np.array([[5, 6], [7, 8]], np.float32))
    return actions


def failed(env: int | None, action: Any) -> FailedEpisode:
    return FailedEpisode("broken", "episode", env, 0, 7, 1, action)


def test_actions_of_the_current_episode() -> None:
    actions = history()
    assert actions.of(0).tolist() == [[1, 2], [5, 6]]
    assert actions.of(1).tolist() == [[7, 8]]
    actions.append_one(1, np.array([9, 10], np.float32))
    assert actions.of(1).tolist() == [[7, 8], [9, 10]]
    actions.clear(1)
    assert actions.is_empty(1)


def test_discrete_actions_keep_their_dtype() -> None:
    actions = ActionHistory(1, np.int64)
    actions.append(np.array([2], np.int64))
    assert actions.of(0).dtype == np.int64
    assert actions.of(0).tolist() == [2]


def test_snapshot_is_restored() -> None:
    actions = history()
    snapshot = actions.snapshot()
    actions.clear(0)
    actions.append(np.zeros((2, 2), np.float32))
    actions.restore(snapshot)
    assert actions.of(0).tolist() == [[1, 2], [5, 6]]
    assert actions.of(1).tolist() == [[7, 8]]


@pytest.mark.parametrize(
    ("env", "action", "expected"),
    [
        (0, [9, 9], [[1, 2], [5, 6], [9, 9]]),
        (0, None, []),  # the reset failed
        (None, [9, 9], None),  # it is unknown which environment failed
    ],
)
def test_failed_episode_has_all_actions(env: int | None, action: Any, expected: Any) -> None:
    episode = failed(env, action)
    history().attach_to(episode, (2,))
    found = episode.actions
    assert (found if found is None else found.tolist()) == expected


def test_saved_actions_are_read_again() -> None:
    actions = history()
    actions.clear(1)
    arrays = actions.arrays()
    assert list(arrays) == ["actions.0"]
    assert saved_actions(arrays, 0, (2,)).tolist() == [[1, 2], [5, 6]]
    assert saved_actions(arrays, 1, (2,)).shape == (0, 2)
    assert steps_to_restore(arrays) == 2
    assert steps_to_restore({"actions.0": np.array(1.0)}) == 0


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3)), np.zeros(2), np.array([["a", "b"]]), np.full((1, 2), np.nan)]
)
def test_actions_of_other_environments_are_refused(array: Array) -> None:
    with pytest.raises(ValueError, match="episodes of other environments were saved"):
        saved_actions({"actions.0": array}, 0, (2,))
