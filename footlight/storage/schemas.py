"""The forms of a run's JSON files: each key that there may be, and what its value has to be. Anything else is refused."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from footlight.config.fields import Count, CountOrZero, NonNegative, Range
from footlight.config.options import Options
from footlight.errors import UserError
from footlight.storage.files import read_json
from footlight.streams import MAX_SEED

FAULT, ACTIONS = "fault.json", "actions.safetensors"  # what a folder in `crash` holds


class Mark(TypedDict):
    """Length and content of a file."""

    bytes: CountOrZero
    sha256: str


class Ring(TypedDict):
    """A ring of rows that lies in several files, and how many rows will not change until they are overwritten."""

    files: list[str]
    stable: CountOrZero


class Best(TypedDict):
    """The best evaluation of a run so far."""

    step: CountOrZero
    mean_return: float


class EvaluationRecord(TypedDict):
    """An evaluation, as in a line of `evaluations.jsonl`."""

    step: NotRequired[CountOrZero]
    mean_return: float
    std_return: float
    returns: list[float]
    lengths: list[CountOrZero]
    deterministic: bool
    unfinished: NotRequired[CountOrZero]


class Machine(TypedDict):
    """What a run was made on: `machine.json`, and in part every checkpoint."""

    versions: dict[str, str]
    system: str
    cpu: str
    threads: Count
    device: NotRequired[str]
    compiled: NotRequired[bool]
    compile_seconds: NotRequired[float]
    commit: NotRequired[str | None]
    command: NotRequired[list[str] | None]


class Result(TypedDict):
    """`result.json`."""

    status: Literal["finished", "stopped", "fault", "diverged", "failed"]
    steps: CountOrZero
    updates: CountOrZero
    seconds: NonNegative
    steps_per_second: NonNegative
    env_faults: NotRequired[CountOrZero]
    final_evaluation: EvaluationRecord | None


_CONFIG = get_type_hints(Options, include_extras=True) | {
    "format_version": int,
    "algorithm": Required[str],
    "environment": Required[str],
    "environment_source": Literal["id", "object"],
    "environment_config": dict[str, Any],
    "env_kwargs": dict[str, Any],
    "environment_code": str,
    "network": str | None,
    "preset": str | None,
    "config": Required[dict[str, Any]],
    "resume": str,
    "no_evaluations": str | None,
    "returns_of": str | None,
    "seed": Required[CountOrZero],
    "steps": Required[Count],
}
Config = TypedDict("Config", _CONFIG, total=False)  # type: ignore[misc]
"""`config.json`: options that there were not yet when it was written are missing."""


class Fault(TypedDict):
    """`FAULT`."""

    format_version: int
    environment: NotRequired[str]
    environment_source: NotRequired[Literal["id", "object"]]
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


class _Files(TypedDict):
    format_version: int
    files: dict[str, Mark]
    groups: dict[str, str]
    segments: dict[str, dict[str, Ring]]


class Manifest(_Files, total=False):
    """`manifest.json` of a run's checkpoint; a saved agent has fewer keys, and a batch that was kept fewer still."""

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
    step: CountOrZero
    seconds: NonNegative
    recent_return: float | None
    evaluation_due: bool
    best: Best | None
    last_evaluation_step: int
    finished_episodes: CountOrZero
    evaluation_steps: CountOrZero
    evaluation: EvaluationRecord | None
    rollbacks: CountOrZero
    env_faults: CountOrZero
    logs: dict[str, Mark]
    run: Config
    machine: Machine


def require(value: Any, form: Any, path: Path) -> None:
    """Raise `UserError` where the content of the file `path` is not of this form."""
    if (wrong := next(misfits(value, form), None)) is not None:
        raise UserError(f"{path} is broken - {wrong} - restore it from a copy")


def read(path: Path, form: Any) -> dict[str, Any]:
    """The object in a file of strict JSON, which has this form. Raises `UserError`."""
    content = read_json(path)
    require(content, form, path)
    return content


def misfits(value: Any, form: Any, where: str = "") -> Iterator[str]:
    """In words, what of a value is not of the form that an annotation says. A tuple is a list there, as JSON has it."""
    origin, arguments = get_origin(form), get_args(form)
    if form is Any:
        return
    if origin in (Annotated, NotRequired, Required):
        yield from misfits(value, arguments[0], where)
        ranges = [limits for limits in arguments[1:] if isinstance(limits, Range)]
        if isinstance(value, int | float) and any(value not in limits for limits in ranges):
            yield f"{where} is {_shown(value)}, and should be {ranges[0]}"
    elif is_typeddict(form):
        if not isinstance(value, dict):
            yield f"{where or 'it'} is {_shown(value)}, not an object"
            return
        hints = get_type_hints(form, include_extras=True)
        yield from (
            f"{_inside(where, name)} is no key of it" for name in value if name not in hints
        )
        yield from (
            f"{_inside(where, name)} is missing"
            for name in sorted(form.__required_keys__ - {*value})
        )
        for name in hints.keys() & value.keys():
            yield from misfits(value[name], hints[name], _inside(where, name))
    elif origin is dict and isinstance(value, dict):
        for name, part in value.items():
            yield from misfits(part, arguments[1], _inside(where, name))
    elif origin in (list, tuple) and isinstance(value, list):
        for part in value:
            yield from misfits(part, arguments[0], where)
    elif origin in (Union, UnionType):
        if all(any(misfits(value, option, where)) for option in arguments):
            yield f"{where} is {_shown(value)}"
    elif not (
        _is_one_of(value, arguments) if origin is Literal else origin is None and _is_a(value, form)
    ):
        yield f"{where} is {_shown(value)}"


def _is_a(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if (
        isinstance(value, int) and abs(value) > MAX_SEED
    ):  # a number that nothing here comes to, nor numpy can hold
        return False
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _is_one_of(value: Any, options: tuple[Any, ...]) -> bool:
    return isinstance(value, str) and value in options


def _inside(where: str, name: str) -> str:
    return f"{where}.{name:.40}" if where else f"{name:.40}"


def _shown(value: Any) -> str:
    return f"{value!r:.40}"
