"""The header and the summary of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from footlight.config.fields import describe_value
from footlight.environments.make import option_to_allow
from footlight.errors import counted, missing_objects, quoted
from footlight.learning.agent import Agent
from footlight.machine import format_bytes
from footlight.training.evaluation import Evaluation


@runtime_checkable
class _HasUnit(Protocol):
    """A buffer whose capacity does not count transitions."""

    unit: str


def header(run_config: Mapping[str, Any], agent: Agent) -> str:
    """Describe a run in two lines: what is trained where, and how."""
    preset = run_config["preset"] or "none"
    update = "compiled" if agent.compiled else "eager"
    threads = torch.get_num_threads()
    buffer = agent.buffer
    unit = buffer.unit if isinstance(buffer, _HasUnit) else "transitions"
    return (
        f"{run_config['algorithm']} on {_environment(run_config)} | preset {preset} | "
        f"seed {run_config['seed']} | {run_config['steps']:,} steps{_resume(run_config)}\n"
        f"{agent.device} | {counted(threads, 'thread')} | {update} update | "
        f"{agent.num_parameters:,} parameters | buffer {format_bytes(buffer.num_bytes)} for "
        f"{buffer.capacity:,} {unit}"
    )


def summary(folder: Path, result: Mapping[str, Any], run_config: Mapping[str, Any]) -> str:
    """Describe how a run ended, and name the next command. `folder`: as messages name it."""
    final = result["final_evaluation"]
    score = "no final evaluation"
    if final:
        score = f"final evaluation {Evaluation.from_json(final).summary()}"
    steps, seconds = f"{result['steps']:,} steps", f"{result['seconds']:.0f} s"
    pace = f"{steps} in {seconds} ({result['steps_per_second']:.0f} steps/s)"
    if (reason := result.get("stop_reason")) is not None:
        pace += f" | stopped: {reason}"
    if not result["updates"]:
        pace += " | 0 updates: nothing was learned"
    name, objects = quoted(folder), missing_objects(run_config)
    allowed = option_to_allow(run_config)
    more = f"footlight plot {name}   or: footlight watch {name} --video episode.mp4{allowed}"
    if objects:
        more = f"footlight plot {name}   or: run.video('episode.mp4')"
    if result["status"] == "stopped":
        more = f"footlight resume {name}{allowed}"
        if objects:
            more = f"footlight.resume({str(folder)!r}{objects})"
    return f"{score} | {pace}\nrun folder {folder}\nnext: {more}"


def stopped(folder: Path, step: int, run_config: Mapping[str, Any]) -> str:
    """Where a run was stopped, and the line of Python that continues it."""
    call = f"footlight.resume({str(folder)!r}{missing_objects(run_config)})"
    return f"stopped and saved at step {step:,} - continue with {call}"


def _environment(run_config: Mapping[str, Any]) -> str:
    arguments = run_config.get("env_kwargs", {}).items()
    kwargs = ", ".join(f"{name}={describe_value(value)}" for name, value in arguments)
    return f"{run_config['environment']} ({kwargs})" if kwargs else str(run_config["environment"])


def _resume(run_config: Mapping[str, Any]) -> str:
    """Whether the run resumes exactly; empty for runs from before the start-up probe."""
    verdict = run_config.get("resume")
    if verdict is None:
        return ""
    if str(verdict).startswith("unknown: "):
        return f" | whether it resumes exactly is {verdict}"
    return " | resumes exactly" if verdict == "exact" else f" | resumes inexactly: {verdict}"
