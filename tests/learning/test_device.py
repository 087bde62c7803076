"""The device of hand-written code."""

import pytest
import torch

from footlight.errors import UserError
from footlight.learning.device import choose_device


@pytest.mark.parametrize("has_gpu", [True, False])
def test_automatic_choice_is_the_gpu_if_there_is_one(
    has_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device() == choose_device("auto") == torch.device("cuda" if has_gpu else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


def test_wrong_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device - use cpu"):
        choose_device("cuda")
    with pytest.raises(UserError, match="device is 'gpu' - it must be one of auto, cpu, cuda"):
        choose_device("gpu")
