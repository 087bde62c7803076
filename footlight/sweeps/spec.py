"""The specification of a sweep: its file, checked before anything is made."""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np

from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import Field, Range, fields, integer
from footlight.config.options import Options
from footlight.config.schema import violations
from footlight.config.suggestions import closest
from footlight.environments.make import config_class as environment_config
from footlight.environments.make import make_one
from footlight.errors import UserError
from footlight.learning.blueprint import new_blueprint
from footlight.sweeps.dimensions import Choices, Dimension, dimension
from footlight.training.request import Request
from footlight.training.seeds import parse_seeds
from footlight.training.values import parse_toml

Method = Literal["tpe", "random", "grid"]
Objective = Literal["mean", "median"]
Chosen = dict[str, Any]
"""The values of one trial that the search has chosen; "algorithm" is one of them."""
DEFAULT_TRIALS = 20
MAX_TRIALS = 100_000
_OF_SWEEP = {"seed", "algorithm", "environment", "preset"}  # which have a place of their own
_TABLES = {"env_kwargs", "eval_env_kwargs"}  # arguments of `train` that are not fields


class SweepFile(TypedDict):
    """The content of a sweep's file, see `docs/sweeps.md`."""

    algorithm: str | list[str]
    environment: NotRequired[str]
    method: NotRequired[Method]
    trials: NotRequired[int]
    seeds: NotRequired[int | list[int]]
    objective: NotRequired[Objective]
    prune: NotRequired[bool]
    seed: NotRequired[int]
    preset: NotRequired[bool | str]
    values: NotRequired[dict[str, Any]]
    search: NotRequired[dict[str, Any]]


@dataclass(frozen=True)
class Spec:
    """What is searched, and how."""

    algorithms: tuple[str, ...]
    environment: Any
    """As for `train`."""
    dimensions: tuple[Dimension, ...]
    values: Mapping[str, Any]
    """Arguments of `train` that are the same in all trials."""
    method: Method
    trials: int
    seeds: tuple[int, ...]
    """Of the runs of each trial."""
    objective: Objective
    prune: bool
    seed: int
    """Of the search."""
    preset: bool | str

    @property
    def algorithm(self) -> Choices:
        """The algorithms as a dimension."""
        return Choices("algorithm", self.algorithms)

    def dimensions_of(self, algorithm: str) -> list[Dimension]:
        """The dimensions that this algorithm has."""
        known = known_fields(algorithm, self.environment)
        return [each for each in self.dimensions if each.name in known]

    def grid(self) -> Iterator[Chosen]:
        """All combinations, algorithm by algorithm."""
        for algorithm in self.algorithms:
            own = self.dimensions_of(algorithm)
            for values in itertools.product(*(each.grid() for each in own)):
                names = (each.name for each in own)
                yield {"algorithm": algorithm, **dict(zip(names, values, strict=True))}

    def drawn(self, number: int) -> Chosen:
        """The values of a trial of a random search, which depend on nothing but its number."""
        stream = np.random.default_rng((self.seed, number))
        algorithm = self.algorithm.draw(stream)
        draws = {each.name: each.draw(stream) for each in self.dimensions_of(algorithm)}
        return {"algorithm": algorithm, **draws}

    def arguments(self, chosen: Chosen) -> dict[str, Any]:
        """The arguments of `train` for a trial, without seed and folder."""
        known = [known_fields(name, self.environment) for name in self.algorithms]
        mine = known_fields(chosen["algorithm"], self.environment)
        # What another algorithm alone has is not for this one
        values = {
            name: value
            for name, value in self.values.items()
            if name in mine or not any(name in fields for fields in known)
        }
        own = {**values, **chosen, "environment": self.environment, "preset": self.preset}
        return {name: list(x) if isinstance(x, tuple) else x for name, x in own.items()}

    def request(self, chosen: Chosen) -> Request:
        """The same, resolved. Raises `UserError` for a combination that cannot be trained."""
        arguments = self.arguments(chosen)
        algorithm, environment = arguments.pop("algorithm"), arguments.pop("environment")
        return Request.from_arguments(algorithm, environment, arguments)

    def record(self) -> dict[str, Any]:
        """As plain data, without the number of trials, which may grow."""
        environment = self.request(self._first(self.algorithms[0])).source.name()
        found = {
            "algorithm": [*self.algorithms],
            "environment": environment,
            "search": {each.name: each.to_json() for each in self.dimensions},
            "values": self.values,
        }
        names = "method", "seeds", "objective", "prune", "seed", "preset"
        found |= {name: vars(self)[name] for name in names}
        return dict(json.loads(json.dumps(found, default=str)))

    def _first(self, algorithm: str) -> Chosen:
        own = {each.name: each.examples[0] for each in self.dimensions_of(algorithm)}
        return {"algorithm": algorithm, **own}

    def require_valid(self) -> None:
        """Raise `UserError` unless all choices and the ends of all ranges can be trained, each
        beside the first values of the others."""
        for algorithm in self.algorithms:
            first = self._first(algorithm)
            request = self.request(first)
            request.require_many()
            if request.options.eval_episodes == 0:
                raise UserError(
                    "eval_episodes is 0 - a sweep compares evaluations - leave it out, or take more"
                )
            _require_suitable(request)
            for each in self.dimensions_of(algorithm):
                for value in each.examples[1:]:
                    self.request({**first, each.name: value})


def _require_suitable(request: Request) -> None:
    """Raise `UserError` if there is no such environment, or not for this algorithm."""
    if request.source.is_vector:  # made by the first run
        return
    with contextlib.chdir("."):  # an environment may change the working directory
        environment = make_one(request.source)
        try:
            spaces = environment.observation_space, environment.action_space
            new_blueprint(request.algorithm, spaces, 0, request.fields, {})
        finally:
            environment.close()


def known_fields(algorithm: str, environment: Any) -> dict[str, Field]:
    """The fields that can be given to a run, by name."""
    settings = environment_config(environment if isinstance(environment, str) else None)
    own = {} if settings is None else fields(settings)
    return {**own, **fields(Options), **fields(config_class(algorithm))}


def read_spec(content: Mapping[str, Any], where: str, environment: Any = None) -> Spec:
    """The sweep that a file describes. Raises `UserError`.

    where: the file, for messages. environment: takes the place of the file's.
    """
    _require_shape(content, where)
    algorithms = _algorithms(content["algorithm"], where)
    if environment is None:
        environment = _environment(content.get("environment"), where)
    values = dict(content.get("values", {}))
    _require_fields(values, content.get("search", {}), algorithms, environment, where)
    dimensions = _dimensions(content.get("search", {}), algorithms, environment, where)
    method = content.get("method", "tpe")
    spec = Spec(
        algorithms=algorithms,
        environment=environment,
        dimensions=dimensions,
        values=values,
        method=method,
        trials=0,
        seeds=parse_seeds(content.get("seeds", 1), None),
        objective=content.get("objective", "mean"),
        prune=content.get("prune", False),
        seed=integer("seed", content.get("seed", 0), Range(0)),
        preset=content.get("preset", True),
    )
    spec = with_trials(spec, content.get("trials"), where)
    spec.require_valid()
    return spec


def with_trials(spec: Spec, trials: int | None, where: str) -> Spec:
    """The same sweep with another number of trials; None: the usual one. Raises `UserError`."""
    if spec.prune and spec.method != "tpe":
        raise UserError(f'{where}: prune needs method = "tpe" - it is {spec.method!r}')
    if spec.method != "grid":
        number = (
            DEFAULT_TRIALS if trials is None else integer("trials", trials, Range(1, MAX_TRIALS))
        )
        return dataclasses.replace(spec, trials=number)
    for each in spec.dimensions:
        if not isinstance(each, Choices) and each.count is None:
            raise UserError(
                f"{where}: {each.name} is a range without count - a grid needs it - add count = 5"
            )
    size = sum(1 for _ in itertools.islice(spec.grid(), MAX_TRIALS + 1))
    if size > MAX_TRIALS:
        raise UserError(f"{where}: the grid has over {MAX_TRIALS:,} points - make it smaller")
    number = size if trials is None else integer("trials", trials, Range(1, MAX_TRIALS))
    return dataclasses.replace(spec, trials=min(number, size))


def _require_shape(content: Mapping[str, Any], where: str) -> None:
    for name in content:
        if name not in SweepFile.__annotations__:
            hint = closest(name, [*SweepFile.__annotations__])
            hint = hint or " - values that all trials share belong in [values]"
            raise UserError(f"{where}: unknown name {name!r}{hint}")
    for violation in violations(dict(content), SweepFile):
        raise UserError(f"{where}: {violation}")


def _algorithms(given: str | list[str], where: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in ALGORITHMS:
            hint = closest(name, [*ALGORITHMS]) or f" - algorithms are {', '.join(ALGORITHMS)}"
            raise UserError(f"{where}: unknown algorithm {name!r}{hint}")
    if not names or len({*names}) < len(names):
        raise UserError(f"{where}: algorithm is {given!r:.80} - name each algorithm once")
    return names


def _environment(given: str | None, where: str) -> str:
    if given is None:
        raise UserError(f"{where} names no environment - add environment = ...")
    if ":" in given:
        raise UserError(
            f"{where} names the environment {given!r} - a sweep file cannot name code - "
            "name it as an argument: --environment, or environment= in Python"
        )
    return given


def _require_fields(
    values: Mapping[str, Any], search: Mapping[str, Any], algorithms: tuple[str, ...],
    environment: Any, where: str,
) -> None:  # fmt: skip
    """Raise `UserError` unless all values are plain fields of a run that nothing else sets."""
    known = {name for each in algorithms for name in known_fields(each, environment)} | _TABLES
    for name in values:
        if name in _OF_SWEEP or name in search:
            place = "search" if name in search else "the sweep itself"
            raise UserError(f"{where}: values has {name}, which belongs to {place} - leave it out")
        if name not in known:
            hint = closest(name, [*known]) or f" - see `footlight train {algorithms[0]} --help`"
            raise UserError(f"{where}: values has the unknown field {name!r}{hint}")


def _dimensions(
    search: Mapping[str, Any], algorithms: tuple[str, ...], environment: Any, where: str
) -> tuple[Dimension, ...]:
    known: dict[str, Field] = {}
    for algorithm in algorithms:
        known = {**known_fields(algorithm, environment), **known}
    for name in search:
        if name not in known or name in _OF_SWEEP:
            hint = closest(name, [*known]) or f" - see `footlight train {algorithms[0]} --help`"
            raise UserError(f"{where}: search has the unknown field {name!r}{hint}")
    found = tuple(dimension(name, x, known[name], where) for name, x in search.items())
    if not found and len(algorithms) == 1:
        raise UserError(f"{where} searches nothing - add a table [search]")
    return found


def read_file(path: Path, environment: Any = None) -> Spec:
    """The sweep that a TOML file describes. Raises `UserError`."""
    return read_spec(parse_toml(path), str(path), environment)
