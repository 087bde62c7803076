"""Schemas of a run's JSON files and of the rows of its logs.

A file has the keys of its schema and no others; the rows of a log may have more.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, TypedDict, get_type_hints

from footlight.config.options import Options
from footlight.config.schema import Count, CountOrZero, NonNegative, violations
from footlight.errors import UserError
from footlight.storage.files import read_json

FAULT, ACTIONS = "fault.json", "actions.safetensors"  # the files of a folder in `crash`


class FileDigest(TypedDict):
    """Size and SHA-256 of a file."""

    bytes: CountOrZero
    sha256: str


class Ring(TypedDict):
    """The files of a ring buffer's rows, and how many of them are final until overwritten."""

    files: list[str]
    stable: CountOrZero


class Best(TypedDict):
    """The best evaluation of a run so far."""

    step: CountOrZero
    mean_return: float


class Evaluation(TypedDict):
    """An evaluation, as in a row of `evaluations.jsonl`."""

    step: NotRequired[CountOrZero]
    mean_return: float
    std_return: float
    returns: list[float]
    lengths: list[CountOrZero]
    deterministic: bool
    unfinished: NotRequired[CountOrZero]


class Machine(TypedDict):
    """The machine of a run: `machine.json`, and in part every checkpoint."""

    versions: dict[str, str]
    system: str
    cpu: str
    threads: Count
    tuning: NotRequired[str]
    onednn_from: NotRequired[CountOrZero | None]
    device: NotRequired[str]
    compiled: NotRequired[bool]
    compile_seconds: NotRequired[float]
    commit: NotRequired[str | None]
    command: NotRequired[list[str] | None]


class Ending(TypedDict):
    """What every reader of a `result.json` needs, whatever version wrote it."""

    status: Literal["finished", "stopped", "fault", "diverged", "failed"]
    steps: CountOrZero


class Result(Ending):
    """`result.json`."""

    stop_reason: NotRequired[str]
    updates: CountOrZero
    seconds: NonNegative
    steps_per_second: NonNegative
    compile_seconds: NotRequired[NonNegative]
    env_faults: NotRequired[CountOrZero]
    final_evaluation: Evaluation | None


class Arguments(TypedDict):
    """The arguments of `train` as plain data. own: what they name that is not: the user's objects
    and files, and a run to start from."""

    algorithm: str
    environment: str
    env_kwargs: dict[str, Any]
    preset: bool | str
    values: dict[str, Any]
    own: list[str]


class Seeds(TypedDict):
    """`seeds.json` in a folder with the runs of several seeds."""

    format_version: int
    seeds: list[CountOrZero]
    arguments: Arguments


class CodeFile(TypedDict):
    """A name in a file of the user's that a run was made with, and the file's SHA-256 then."""

    use: Literal["algorithm", "environment", "network", "wrapper", "hook", "eval_environment"]
    path: str
    name: str
    sha256: str


class EvalEnvironment(TypedDict):
    """The environment of the evaluations, if it is not that of the training."""

    environment: str
    environment_source: Literal["id", "object", "file"]
    environment_config: NotRequired[dict[str, Any]]
    env_kwargs: NotRequired[dict[str, Any]]
    environment_code: NotRequired[str]


class InitFrom(TypedDict):
    """What a run was initialized from. buffer: the number of transitions that it took over."""

    path: str
    step: CountOrZero
    sha256: str
    environment: str | None
    buffer: NotRequired[CountOrZero]


_CONFIG = get_type_hints(Options, include_extras=True) | {
    "format_version": int,
    "algorithm": Required[str],
    "environment": Required[str],
    "environment_source": Literal["id", "object", "file"],
    "environment_config": dict[str, Any],
    "env_kwargs": dict[str, Any],
    "environment_code": str,
    "network": str | None,
    "preset": str | None,
    "config": Required[dict[str, Any]],
    "resume": str,
    "no_evaluations": str | None,
    "returns_of": str | None,
    "eval_environment": EvalEnvironment,
    "init_from": InitFrom,
    "code": list[CodeFile],
    "seed": Required[CountOrZero],
    "steps": Required[Count],
}
Config = TypedDict("Config", _CONFIG, total=False)  # type: ignore[misc]
"""`config.json`. Options that were added after it was written are missing."""


class Fault(TypedDict):
    """`FAULT`: the episode in which an environment failed."""

    format_version: int
    environment: NotRequired[str]
    environment_source: NotRequired[Literal["id", "object", "file"]]
    code: NotRequired[list[CodeFile]]
    environment_config: NotRequired[dict[str, Any]]
    env_kwargs: NotRequired[dict[str, Any]]
    what: str
    stream: str
    env: CountOrZero | None
    index: CountOrZero
    seed: CountOrZero | None
    step: CountOrZero
    action: Any
    actions: str | None
    message: str


class HookState(TypedDict):
    """A user's hook in a checkpoint. state: None if it has none."""

    name: str
    state: dict[str, Any] | None


class _Files(TypedDict):
    format_version: int
    files: dict[str, FileDigest]
    groups: dict[str, str]
    segments: dict[str, dict[str, Ring]]


class Records(TypedDict):
    """An array of records that is stored leaf by leaf."""

    leaves: list[str]
    axes: CountOrZero
    """Its own axes, which those of each leaf follow."""


class Manifest(_Files, total=False):
    """`manifest.json` of a checkpoint; a saved agent has fewer keys, a saved batch fewer still."""

    records: dict[str, dict[str, Records]]
    message: str
    footlight: str
    algorithm: str
    config: dict[str, Any]
    spaces: dict[str, Any]
    network: str | None
    seed: CountOrZero
    num_envs: Count
    num_updates: CountOrZero
    learned_at: CountOrZero
    compiled: bool
    compile_later: bool
    keep_gradients: bool
    streams: dict[str, dict[str, Any]]
    buffer: dict[str, Any]
    scheduled: dict[str, float]
    metrics: list[str]
    own_state: dict[str, Any]
    step: CountOrZero
    seconds: NonNegative
    recent_return: float | None
    evaluation_due: bool
    evaluation_requested: bool
    evaluation_final: bool
    best: Best | None
    last_evaluation_step: int
    finished_episodes: CountOrZero
    evaluation_steps: CountOrZero
    evaluation: Evaluation | None
    rollbacks: CountOrZero
    env_faults: CountOrZero
    hooks: list[HookState]
    hooks_evaluated: int
    info: dict[str, list[float]]
    stop_returns: list[float]
    evaluations_without_improvement: CountOrZero
    logs: dict[str, FileDigest]
    run: Config
    machine: Machine


class Experiment(TypedDict):
    """What every reader of a `config.json` needs, whatever version wrote it."""

    algorithm: str
    environment: str
    seed: CountOrZero


class MetricsRow(TypedDict):
    """What every row of `metrics.jsonl` and `diagnostics.jsonl` has."""

    step: CountOrZero


EpisodeRow = TypedDict("EpisodeRow", {"step": CountOrZero, "return": float | None})
"""What every row of `episodes.jsonl` has. None: the return was not finite."""


class EvaluationRow(TypedDict):
    """What every row of `evaluations.jsonl` has. None: the value was not finite."""

    step: CountOrZero
    mean_return: float | None
    std_return: float | None


def require(value: Any, schema: Any, path: Path) -> None:
    """Raise `UserError` if the content of the file `path` does not match the schema."""
    for violation in violations(value, schema):
        raise UserError(f"{path} is invalid: {violation} - restore it from a copy")


def require_keys(content: Mapping[str, Any], schema: Any, where: str) -> None:
    """Raise `UserError` if `content` lacks a key of the schema or has a wrong value there.

    Other keys are ignored. NaN and Infinity, which a diverged run has logged, count as none.
    """
    known = {key: _finite(content[key]) for key in schema.__annotations__ if key in content}
    for violation in violations(known, schema):
        raise UserError(f"{where} is invalid: {violation} - restore the file, or run again")


def read(path: Path, schema: Any) -> dict[str, Any]:
    """Read a strict JSON file whose object matches the schema. Raises `UserError`."""
    content = read_json(path)
    require(content, schema, path)
    return content


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
