"""The result of an examination, as text and as JSON."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from footlight.doctor.findings import Checkup
from footlight.doctor.text import describe_finding
from footlight.errors import counted


@dataclass(frozen=True, repr=False)
class EnvironmentCheckup(Checkup):
    """What an examination says of an environment. `print` shows all of it."""

    environment: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    """Numbers from random play: returns, lengths, ends, observations, rewards, speed."""

    def to_json(self) -> dict[str, Any]:
        """All fields, and the verdict, as strict JSON: null stands for what is not finite."""
        measured = _strict(self.measured)
        return {"environment": self.environment, **super().to_json(), "measured": measured}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.environment!r}: {self.verdict}>"

    def __str__(self) -> str:
        lines = [f"{name:13s} {text}" for name, text in _measured(self.measured)]
        lines += [f"\n{describe_finding(finding)}" for finding in self.findings]
        lines += ["", *(f"not judged: {reason}" for reason in self.not_judged)]
        return "\n".join([*lines, f"{self.environment}: {self.verdict}"])


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(each) for name, each in value.items()}
    if isinstance(value, np.generic):  # a threshold may be one
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _measured(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    played = f"{counted(found['episodes'], 'episode')} in {counted(found['steps'], 'step')}"
    if found["episodes"]:
        mean, std = (_number(found[f"{name}_return"]) for name in ("mean", "std"))
        solved = found.get("reward_threshold")
        goal = "" if solved is None else f"; solved at {_number(solved)}"
        yield "random play", f"mean return {mean} ± {std} over {played}{goal}"
        shares = (f"{found[f'{name}_share']:.0%} {name}" for name in ("terminated", "truncated"))
        lengths = f"{found['shortest']:,} to {found['longest']:,} steps"
        yield "ends", f"{', '.join(shares)}, after {lengths}"
    else:
        yield "random play", played
    for name, each in found.get("observations", {}).items():
        ends = f"{_number(each['smallest'])} to {_number(each['largest'])}"
        of = f" of {name}" if name else ""
        yield "observations", f"{counted(each['size'], 'number')}{of}, {ends}"
    if "step_seconds" in found:
        yield "rewards", f"mean size {_number(found['mean_reward_size'])}"
        second, share = found["step_seconds"], found["share_of_sac"]
        rate = f" ({1 / second:,.0f} steps/s)" if second else ""
        yield "a step", f"{second * 1e6:,.0f} µs{rate}: about {share:.0%} of a training with SAC"
    for name, text in found.get("probes", {}).items():
        yield "probe", f"{name}: {text}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e12 else f"{value:.4g}"
