"""Episodes of a random or given policy in any environment, in a notebook, a window or a file."""

import copy
import os
import re
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.environments.spaces import describe
from footlight.errors import UserError, warn
from footlight.instruments import videos
from footlight.instruments.notebook import in_notebook
from footlight.instruments.playback import Playback, episode_seeds
from footlight.instruments.video_file import Video, default_suffix
from footlight.instruments.window import lacks_screen
from footlight.learning.agent import Agent
from footlight.learning.policy import Policy, load
from footlight.storage import checkpoint
from footlight.storage.files import user_path
from footlight.streams import MAX_SEED

Env = gymnasium.Env[Any, Any]

_folders: list[tempfile.TemporaryDirectory[str]] = []  # of notebooks; removed when Python exits


@runtime_checkable
class Trained(Protocol):
    """A run, which knows how its policy acts in evaluations."""

    def acting_policy(self) -> tuple[Policy, bool]:
        """Return the policy, and whether it is deterministic in evaluations."""


@runtime_checkable
class Acting(Protocol):
    """An agent of the user's own."""

    def act(self, observation: Any, /) -> Any:
        """Return the action for one observation."""


def simulate(
    env: EnvironmentLike | EnvironmentSource,
    policy: Any = None,
    *,
    episodes: int = 1,
    seed: int = 0,
    max_steps: int | None = None,
    video: str | Path | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
) -> Video:
    """Show episodes of a policy in an environment, by default of a random one.

    env: an id, a `gymnasium.Env`, or a function that makes one. An `Env` that renders is used as it
        is and stays open; of any other, a second one is made.
    policy: None (random actions), a `Policy`, `Agent` or `Run`, the folder of a run or agent, a
        function from an observation to an action, or an object with such a method `act`.
    seed: determines how the episodes start, random actions, and those that a policy samples.
    max_steps: of an episode; None: ten minutes of playing time.
    video: a file to record, .mp4 or .gif. None: in a notebook, the video that is returned shows
        itself; elsewhere a window opens or, without a screen, a file named after the environment is
        written.
    env_kwargs: arguments of the environment, where it is an id.

    Returns the path of the video, with the `returns` and `lengths` of the episodes; it is
    `os.devnull` where they were shown in a window. Raises `UserError`, and `EnvironmentFault` if
    the environment fails.

        footlight.simulate("Pendulum-v1")                              # what there is to learn
        footlight.simulate("CartPole-v1", lambda seen: int(seen[2] > 0), episodes=3).returns
    """
    integer("episodes", episodes, Range(1))
    seed = integer("seed", seed, Range(0, MAX_SEED))
    if max_steps is not None:
        integer("max_steps", max_steps, Range(1))
    source = EnvironmentSource.of(env).configured(kwargs=env_kwargs)
    make_env, seeds = partial(_make_env, source), episode_seeds(seed, episodes)
    if video is None and not in_notebook() and not lacks_screen():
        with closing(make_env(None)) as plain:
            playback = Playback(_player(policy, plain), seeds, max_steps=max_steps)
        return playback.show(make_env, f"{_name(policy)} on {source.name()}")
    with closing(make_env("rgb_array")) as made:
        playback = Playback(_player(policy, made), seeds, max_steps=max_steps)
        return playback.record(made, _new_file(source) if video is None else user_path(video))


class _StaysOpen(videos.Drawing):
    """An environment that its owner closes."""

    def close(self) -> None:
        pass


def _make_env(source: EnvironmentSource, render_mode: str | None) -> Env:
    given = source.instance
    if isinstance(given, gymnasium.Env) and render_mode in (None, given.render_mode):
        return _StaysOpen(given)
    return videos.make_env(source, render_mode)


def _new_file(source: EnvironmentSource) -> Path:
    """The file of a video that nobody has named: a new one."""
    name = re.sub(r"[^\w.-]+", "-", source.name()).strip("-.") or "environment"
    if in_notebook():  # which holds the video itself
        _folders.append(tempfile.TemporaryDirectory(prefix="footlight-"))
        return Path(_folders[-1].name) / f"{name}{default_suffix()}"
    suffix, path, number = default_suffix(), Path(f"{name}{default_suffix()}"), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}{suffix}")
    warn(f"there is no screen to open a window on: recording {path}")
    return path


def _name(policy: Any) -> str:
    return "a random policy" if policy is None else "a policy"


def _player(policy: Any, env: Env) -> videos.Player:
    """The policy as a function of an episode's seed. Raises `UserError` if it is not a policy."""
    if policy is None:
        return partial(_random_actions, env.action_space)
    found, deterministic = policy, True
    if isinstance(policy, Agent):
        found = policy.policy
    elif isinstance(policy, Trained):
        found, deterministic = policy.acting_policy()
    elif isinstance(policy, str | os.PathLike):
        found, deterministic = _saved_policy(Path(policy))
    if isinstance(found, Policy):
        _require_spaces(found, env)
        # A copy: an agent's own samples of actions, and what it remembers, are not touched
        return partial(copy.copy(found).player, deterministic=deterministic)
    act = policy.act if isinstance(policy, Acting) else policy
    if not callable(act) or isinstance(policy, type):  # a class in place of its instance
        raise UserError(
            f"policy is {policy!r:.80} - give a run, an agent, a policy, the folder of one, or a "
            "function from an observation to an action"
        )
    return lambda seed: lambda observation: _checked_action(act(observation), env.action_space)


def _saved_policy(path: Path) -> tuple[Policy, bool]:
    """The policy in a folder, and whether it is deterministic in its run's evaluations."""
    policy = load(path)
    config = checkpoint.read_manifest(checkpoint.find(user_path(path), groups=[])).get("run") or {}
    return policy, not config.get("eval_stochastic", False)


def _random_actions(space: gymnasium.Space[Any], seed: int) -> videos.Act:
    own = copy.deepcopy(space)  # that of the environment may be in use
    own.seed(seed)
    return lambda observation: own.sample()


def _require_spaces(policy: Policy, env: Env) -> None:
    if describe(env.observation_space, env.action_space) != policy.spaces:
        raise UserError(
            f"the policy was trained on other spaces than {env.observation_space} and "
            f"{env.action_space} - give the environment that it was trained on, such as "
            "run.make_env('rgb_array')"
        )


def _checked_action(action: Any, space: gymnasium.Space[Any]) -> Any:
    """An action of the user's own policy as the environment takes it. Raises `UserError`.

    Tensors become arrays. A Box is compared by its shape only, since environments clip.
    """
    given = action
    if isinstance(action, torch.Tensor):
        action = action.detach().cpu().numpy()
    if isinstance(space, gymnasium.spaces.Box):
        if isinstance(action, np.ndarray | np.generic | float | int | list | tuple):
            action = np.asarray(action, space.dtype)
            if action.shape == space.shape and np.isfinite(action).all():
                return action
    elif isinstance(action, np.ndarray) and action.shape == () and space.shape == ():
        action = action[()]
    if isinstance(space, gymnasium.spaces.Box) or not space.contains(action):
        raise UserError(
            f"the policy returned {given!r:.80} - that is not an action of {space} - return one, "
            "such as env.action_space.sample() does"
        )
    return action
