"""What a run is made of. Whole runs are in `test_api.py` and `test_training.py`."""

from pathlib import Path

import pytest
import torch

from footlight.errors import UserError
from footlight.instruments.progress import Display
from footlight.training.parts import make_agent, new_run_folder, run_environments, vectorized
from footlight.training.request import Request

SMALL = {"hidden_sizes": (8, 8), "seed": 5, "threads": 2}


def test_agent_has_the_seed_the_threads_and_the_environments_of_the_request() -> None:
    request = Request.of("a2c", "CartPole-v1", {**SMALL, "num_envs": 3})
    display, notices, before = Display(10, quiet=True), list[str](), torch.get_num_threads()
    options, num_envs = vectorized(request.options, request.found.options, request.source, notices)
    try:
        with run_environments(request.source, options, num_envs, display) as environments:
            agent = make_agent(request, environments, options, display)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (environments.num_envs, options.vectorization) == (3, "sync")
    assert agent.config.hidden_sizes == (8, 8)


def test_folder_of_a_run_is_locked(tmp_path: Path) -> None:
    with new_run_folder("some", "Pendulum-v1", "sac", tmp_path) as path:
        assert path == tmp_path / "some"
        with (
            pytest.raises(UserError, match="is in use - this process"),
            new_run_folder("some", "Pendulum-v1", "sac", tmp_path),
        ):
            pass
