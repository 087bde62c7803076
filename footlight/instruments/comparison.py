"""Comparison of an exported policy with the original on a thousand observations."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.requirements import is_ours
from footlight.errors import UserError
from footlight.instruments.deterministic import DeterministicPolicy
from footlight.instruments.random_observations import draw_observations
from footlight.learning.policy import Policy
from footlight.networks.flat import as_tensors
from footlight.types import Array, BoxAction

# A thousand observations: one alone, most in batches of one size, one batch of another size.
BATCHES = (1, *[50] * 19, 49)


def _remedy(policy: Policy) -> str:
    """What the file has to do as the policy does."""
    kind = type(policy.algorithm)
    if is_ours(kind):
        return (
            "the file holds network, normalizer and head only, which must do the same for any "
            "batch size"
        )
    return (
        f"the file holds the network alone, and {kind.__name__}.act decides otherwise - let the "
        "network return logits, or means in [-1, 1] and raw log standard deviations"
    )


class Comparison(NamedTuple):
    """The differences between the actions of a file and those of the policy."""

    difference: float
    """The largest one: of continuous actions, in ranges (high - low); of discrete choices that
    differ, between their logits."""
    num_differing: int
    """Discrete choices that differ; 0 for continuous actions."""
    num_choices: int
    """Discrete choices compared, over all observations; 0 for continuous actions."""


def compare(
    path: Path, policy: Policy, acting: DeterministicPolicy, run: Callable[[Array], Array]
) -> Comparison:
    """Compare the file's actions with the policy's. Raises `UserError` if they differ.

    run: returns the actions of the file for a batch of observations.
    """
    action, stream = policy.spaces.action, np.random.default_rng(0)
    differences, num_differing, num_choices = [], 0, 0
    largest = _watch_intermediates(acting.network)
    for size in BATCHES:
        observations = draw_observations(stream, size, policy.spaces, policy.normalizer)
        expected, found = policy.act(observations), run(observations)
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            raise UserError(
                f"{path} was not written - its actions are {found.dtype} {found.shape} - "
                f"{_remedy(policy)}"
            )
        with torch.no_grad():
            output_EH = acting.output(as_tensors(observations, torch.device("cpu"))).numpy()
        if isinstance(action, BoxAction):
            distance = np.abs(found.astype(np.float64) - expected)
            differences.append(distance / (action.high.astype(np.float64) - action.low))
        else:
            first_A = np.cumsum((0, *action.sizes[:-1]))  # where each choice's logits begin
            found_EA, expected_EA = (
                np.take_along_axis(output_EH, action.from_environment(each) + first_A, 1)
                for each in (found, expected)
            )
            differences.append(np.abs(found_EA - expected_EA))
            num_differing += int((found != expected).sum())
            num_choices += expected.size
    difference = float(np.max([each.max() for each in differences]))
    comparison = Comparison(difference, num_differing, num_choices)
    allowed = _rounding_error(acting, max(largest))
    _require_rounding_only(path, comparison, allowed, _remedy(policy))
    return comparison


def _require_rounding_only(path: Path, comparison: Comparison, allowed: float, remedy: str) -> None:
    """Raise `UserError` if the difference is larger than rounding explains, or NaN."""
    difference, num_differing, num_choices = comparison
    if difference <= allowed:
        return
    how = (
        f"{num_differing:,} of {num_choices:,} choices differ from the policy's, "
        f"between logits up to {difference:.1e} apart"
    )
    if not num_choices:
        how = f"its actions differ from the policy's by up to {difference:.1e} of their range"
    raise UserError(
        f"{path} was not written - {how}, rounding explains at most {allowed:.0e} - {remedy}"
    )


def _watch_intermediates(network: nn.Module) -> list[float]:
    """Return a list that later calls of the network extend by the largest output of each layer.

    Outputs are absolute values; the list starts with 1.
    """
    largest = [1.0]

    def record(layer: nn.Module, inputs: object, output: object) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        largest.extend(float(part.abs().max()) for part in parts if isinstance(part, Tensor))

    for layer in network.modules():
        if layer is network or next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(record)
    return largest


def _rounding_error(acting: DeterministicPolicy, scale: float) -> float:
    """The largest difference that rounding explains, of an action (in ranges) or of a logit.

    4 eps sqrt(depth terms) scale, for the number of layers, the inputs of the widest one and the
    largest intermediate, as `tests/tolerance.py` derives it. Actions themselves are rounded to
    their own dtype, up or down.
    """
    weights = [parameter for parameter in acting.parameters() if parameter.dim() > 1]
    terms = max((weight[0].numel() for weight in weights), default=1)
    allowed = 4 * np.finfo(np.float32).eps * math.sqrt((1 + len(weights)) * terms) * scale
    if isinstance(acting.action, BoxAction):
        low, high = acting.action.low.astype(np.float64), acting.action.high.astype(np.float64)
        coarsest = max(np.finfo(acting.action.low.dtype).eps, np.finfo(np.float32).eps)
        magnitude = np.maximum(np.abs(low), np.abs(high))
        allowed += 2 * float((coarsest * magnitude / (high - low)).max())
    return float(allowed)
