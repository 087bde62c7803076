"""The device of hand-written code."""

import torch

from footlight.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device of this name: "cpu", "cuda", or "auto", the GPU if there is one.

    `footlight.train` chooses the CPU instead if it is left to choose: its small networks are faster
    there. Raises `UserError` for other names, and for "cuda" without a GPU.

        device = footlight.choose_device("auto")
        network = network.to(device)
    """
    if name not in DEVICES:
        raise UserError(f"device is {name!r} - it must be one of {', '.join(DEVICES)}")
    if name == "cuda":
        require_cuda()
    use_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def require_cuda() -> None:
    """Raise `UserError` where torch has no CUDA device."""
    if not torch.cuda.is_available():
        raise UserError(
            "device is cuda - this machine, or this build of torch, has no CUDA device - use cpu"
        )
