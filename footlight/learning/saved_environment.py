"""The environment that a saved agent belongs to, as the config of a run names it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv, VectorWrapper

from footlight.environments.identity import why_not_known
from footlight.environments.running_statistics import saved_statistics
from footlight.environments.source import Arguments, EnvironmentLike, EnvironmentSource
from footlight.environments.wrappers import RECORDERS
from footlight.errors import UserError
from footlight.types import Array

_FORMAT_VERSION = 1  # of config.json
_KEYS = ("environment", "environment_source", "environment_config", "env_kwargs",
         "environment_code", "code")  # fmt: skip
_OF_VECTORS = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers", "render_mode")
# They change nothing that an agent observes
_WATCHING = (gymnasium.wrappers.RecordEpisodeStatistics, *RECORDERS)


def record_environment(
    environment: EnvironmentLike | EnvironmentSource, kwargs: Arguments, seed: int
) -> dict[str, Any]:
    """What `config.json` holds about an environment.

    An object that its id makes again is recorded by its id and arguments; it is not stepped.
    Raises `UserError` if it is not an environment.
    """
    source = EnvironmentSource.of(environment)
    if source.is_object and not kwargs:
        source = _from_id(source.instance, seed) or source
    source = source.configured(kwargs=kwargs)
    code = [reference.record() for reference in source.code]
    return {
        "environment": source.name(), **source.settings(), **({"code": code} if code else {})
    }  # fmt: skip


def statistics_of_given(environment: EnvironmentLike | EnvironmentSource) -> dict[str, Array]:
    """The running statistics of an environment that is given as an object, as a checkpoint holds
    them. Empty for one that is given by name or as a function."""
    source = EnvironmentSource.of(environment)
    return saved_statistics(source.instance) if source.is_object else {}


def _from_id(env: Any, seed: int) -> EnvironmentSource | None:
    """The id that makes an environment like this object; None if there is none."""
    while isinstance(env, _WATCHING):
        env = env.env
    spec: EnvSpec | None = env.spec
    if spec is None or isinstance(env, VectorWrapper) or spec.kwargs.get("wrappers"):
        return None
    usual = gymnasium.registry.get(spec.id)
    kwargs = {name: value for name, value in spec.kwargs.items() if name not in _OF_VECTORS}
    if usual is not None and kwargs.get("max_episode_steps") == usual.max_episode_steps:
        kwargs.pop("max_episode_steps", None)  # `make_vec` repeats it
    found = EnvironmentSource.of(dataclasses.replace(spec, kwargs=kwargs)).configured()
    if found.settings()["environment_source"] != "id":
        return None
    is_same = isinstance(env, VectorEnv) or not why_not_known(
        EnvironmentSource.of(env), found, seed
    )
    return found if is_same else None


def environment_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says about the environment; {} if nothing."""
    run: Mapping[str, Any] = manifest.get("run", {})
    found = {name: run[name] for name in _KEYS if name in run}
    if "code" in found:
        found["code"] = [e for e in found["code"] if e["use"] in ("environment", "wrapper")]
    return found


def run_config_of(
    manifest: Mapping[str, Any], environment: Mapping[str, Any], total_steps: int | None = None
) -> dict[str, Any]:
    """The config of a run for an agent that was saved by itself.

    manifest: the agent's. environment: that of `record_environment`.
    """
    return {
        "format_version": _FORMAT_VERSION,
        "algorithm": manifest["algorithm"],
        **environment,
        "network": manifest["network"],
        "preset": None,
        "seed": manifest["seed"],
        "num_envs": manifest["num_envs"],
        "steps": total_steps or manifest.get("step") or 1,
        "config": manifest["config"],
    }


def given_config(
    manifest: Mapping[str, Any], environment: EnvironmentLike | EnvironmentSource | None, path: Any
) -> dict[str, Any]:
    """The config of an agent that was saved without its environment, in the one that is given.

    Raises `UserError` if none is.
    """
    if environment is None:
        raise UserError(
            f"{path} does not say which environment it is for - the agent was saved without one - "
            "give it: --environment ID in the shell, footlight.Run(folder, environment=...) in "
            "Python;\nagent.save(folder, environment=...) records it"
        )
    source = EnvironmentSource.of(environment).configured()
    found = {"environment": source.name(), **source.settings()}
    return run_config_of(manifest, found)
