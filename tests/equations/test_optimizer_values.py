"""`Optimizer` against torch.optim along the same gradients: kinds, decay, clipping, schedules."""

import math
from typing import Any

import pytest
import torch

from footlight.equations.optimizers import Optimizer
from tolerance import assert_close

STEPS, RATE, EPSILON = 6, 0.05, 1e-3


def peer_of(optimizer: Optimizer, parameters: torch.Tensor) -> torch.optim.Optimizer:
    decay: dict[str, Any] = {"lr": RATE, "weight_decay": optimizer.weight_decay}
    match optimizer.kind:
        case "sgd":
            return torch.optim.SGD([parameters], **decay)
        case "rmsprop":
            return torch.optim.RMSprop([parameters], eps=EPSILON, alpha=0.99, **decay)
        case kind:
            adam = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
            return adam([parameters], eps=EPSILON, betas=optimizer.betas, **decay)


def factor(schedule: str, progress: float) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return {"constant": 1.0, "linear": 1 - progress, "cosine": cosine}[schedule]


def compare(optimizer: Optimizer) -> None:
    """Take the same steps with both, in float64, so that formulas differ visibly and roundings
    do not."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(20, generator=generator, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    memory, peer = optimizer.init(ours), peer_of(optimizer, theirs)
    for step in range(STEPS):
        progress = step / STEPS
        gradient = torch.randn(20, generator=generator, dtype=torch.float64)
        norm = optimizer.step(
            ours, gradient, memory, RATE, torch.tensor([progress], dtype=torch.float64)
        )
        assert_close(norm, gradient.norm(), terms=20)
        peer.param_groups[0]["lr"] = RATE * factor(optimizer.schedule, progress)
        theirs.grad = gradient.clone()
        if optimizer.max_grad_norm is not None:
            # torch divides by the norm + 1e-6, we by the norm: so the factor is applied here
            theirs.grad *= min(1.0, optimizer.max_grad_norm / gradient.norm().item())
        peer.step()
    # The powers of the betas are kept in float32, whatever the parameters are in
    assert_close(ours, theirs, terms=20, depth=STEPS, scale=3, dtype=torch.float32)
    assert not torch.equal(ours, torch.zeros_like(ours))


@pytest.mark.parametrize("kind", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_steps_equal_torchs(kind: Any, weight_decay: float, schedule: Any) -> None:
    compare(Optimizer(kind=kind, epsilon=EPSILON, weight_decay=weight_decay, schedule=schedule))


@pytest.mark.parametrize("betas", [(0.5, 0.6), (0.0, 0.9), (0.95, 0.99)])
@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_betas_are_torchs(kind: Any, betas: tuple[float, float]) -> None:
    compare(Optimizer(kind=kind, betas=betas, epsilon=EPSILON))


@pytest.mark.parametrize("kind", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("max_grad_norm", [0.3, 100.0])
def test_gradient_is_clipped_before_weight_decay(kind: Any, max_grad_norm: float) -> None:
    compare(Optimizer(kind=kind, epsilon=EPSILON, weight_decay=0.1, max_grad_norm=max_grad_norm))


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "rmsprop-tf"])
def test_decay_spares_what_the_loss_does_not_depend_on(kind: Any) -> None:
    optimizer = Optimizer(kind=kind, weight_decay=0.5)
    parameters, trained = torch.ones(2), torch.tensor([1.0, 0.0])
    memory = optimizer.init(parameters)
    optimizer.step(parameters, torch.zeros(2), memory, RATE, torch.zeros(1), trained)
    assert parameters[0] < 1
    assert parameters[1] == 1


def test_schedules_end_at_zero() -> None:
    for schedule in ("linear", "cosine"):
        optimizer, parameters = Optimizer(kind="sgd", schedule=schedule), torch.ones(3)
        memory = optimizer.init(parameters)
        optimizer.step(parameters, torch.ones(3), memory, 1.0, torch.ones(1))
        assert parameters.tolist() == [1, 1, 1]
