"""Recordings of an evaluation: which steps are kept, and that none of them changes later."""

import gymnasium
import numpy as np
import pytest

from footlight.diagnostics.recording import MAX_STEPS, Recording
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.types import Transition


def transition(number: int, num_envs: int = 2, ended: bool = False) -> Transition:
    state = np.full((num_envs, 1), number, np.float32)
    ends = np.full(num_envs, ended)
    return Transition(state, state, state[:, 0], state + 1, ends, ~ends & False)


def test_first_steps_are_kept() -> None:
    recording = Recording()
    for number in range(MAX_STEPS):
        recording(transition(number))
    assert len(recording) == MAX_STEPS // 2
    assert recording.reward_TE[-1].tolist() == [MAX_STEPS // 2 - 1] * 2
    assert recording.observations([(3, 1)]).tolist() == [[3.0]]
    assert recording.successors([(3, 1)]).tolist() == [[4.0]]
    assert recording.actions([(4, 0)]).tolist() == [[4.0]]
    assert recording.valid_TE.all()


def test_large_observations_leave_room_for_fewer() -> None:
    recording, images = Recording(), np.zeros((1, 4, 500, 500), np.float32)
    step = transition(0, 1)._replace(observation=images)
    for _ in range(9):
        recording(step)
    assert len(recording) == (1 << 25) // (2 * images.nbytes)


def test_resets_of_vector_environments_are_not_valid() -> None:
    recording = Recording()
    recording(transition(0))
    recording(transition(1)._replace(valid=np.array([True, False])))
    assert recording.valid_TE.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("how", ["sync", "async", "gymnasium"])
def test_environments_do_not_reuse_what_they_return(how: str) -> None:
    given = gymnasium.make_vec("CartPole-v1", 2) if how == "gymnasium" else "CartPole-v1"
    source, wanted = EnvironmentSource.of(given), Wanted(0, 2)
    if how != "gymnasium":
        wanted = Wanted(0, 2, vectorization=how)
    environments = source.configured().make(wanted)
    try:
        environments.reset()
        recording, copies = Recording(), []
        for _ in range(40):
            step = environments.step(np.array([0, 0]))
            recording(step)
            copies.append([np.array(field) for field in step[:6]])
    finally:
        environments.close()
    every = [(step, env) for step in range(40) for env in range(2)]
    observed = np.array([copy[0] for copy in copies])
    assert np.array_equal(recording.observations(every).reshape(observed.shape), observed)
    assert np.array_equal(recording.reward_TE, np.array([copy[2] for copy in copies], np.float64))
    assert np.array_equal(recording.terminated_TE, np.array([copy[4] for copy in copies]))
