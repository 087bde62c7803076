"""Episodes as video frames, with or without a panel of the critic's values."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np

from footlight.contexts import default_variables
from footlight.environments.faults import as_fault
from footlight.environments.infos import LIFE_LOST
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError, summarize_error
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.overlay import Bar, Moment, Overlay
from footlight.instruments.video import Frame
from footlight.instruments.window import SDL_LEAVES_SIGNALS, lacks_screen, require_screen
from footlight.signals import is_interruption
from footlight.types import Array, BoxAction, Diagnosis, Spaces

MAX_SECONDS = 600  # playing time at which the video of an episode that never ends is cut off

Act = Callable[[Any], Any]
Player = Callable[[int], Act]
"""Returns the policy for the episode of a seed; equal seeds give equal actions."""


class Step(NamedTuple):
    """A state of an episode, and the raw reward of the transition that led to it."""

    observation: Any
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    life_lost: bool = False


def make_env(source: EnvironmentSource, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """Create another environment like `source`, to render or to evaluate in.

    Raises `UserError` where it cannot be created again.
    """
    if render_mode == "human":
        require_screen()
    if render_mode is None:
        return source.make_another(None)
    with _variables():
        return Drawing(source.make_another(render_mode))


def _variables() -> contextlib.AbstractContextManager[None]:
    """Variables that SDL and MuJoCo read when they first render, which can be in any call."""
    if lacks_screen():
        # SDL's `dummy`, too, needs no screen, but each time installs another handler of a signal
        off_screen = {"SDL_VIDEODRIVER": "offscreen,dummy", "MUJOCO_GL": "egl"}
        return default_variables(**off_screen, **SDL_LEAVES_SIGNALS)
    return default_variables(**SDL_LEAVES_SIGNALS)


class Drawing(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that renders: without a screen where there is none."""

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The environment's own spec, without this wrapper."""
        return self.env.spec

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        with _variables():
            return super().reset(**how)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with _variables():
            return super().step(action)

    def render(self) -> Any:
        with _variables():
            return super().render()


def frames_per_second(env: gymnasium.Env[Any, Any]) -> float:
    """The frame rate of the environment's metadata; 30 where it has none."""
    return float(env.metadata.get("render_fps") or 30)


def play(
    player: Player, env: gymnasium.Env[Any, Any], seed: int, max_steps: int | None = None
) -> Iterator[Step]:
    """Yield the states of one episode, from the first to the last, at most `max_steps` steps."""
    act = player(seed)
    with as_fault("the environment's reset"):
        observation, _ = env.reset(seed=seed)
    step = Step(observation)
    yield step
    for _ in itertools.islice(itertools.count(), max_steps):
        action = act(step.observation)
        with as_fault("the environment's step"):
            observation, reward, terminated, truncated, info = env.step(action)
            step = Step(
                observation,
                float(reward),
                bool(terminated),
                bool(truncated),
                bool(info.get(LIFE_LOST)),
            )
        yield step
        if step.terminated or step.truncated:
            break


def render_episode(
    player: Player,
    env: gymnasium.Env[Any, Any],
    seed: int,
    probe: CriticProbe | None = None,
    max_steps: int | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
) -> Iterator[Frame]:
    """Yield the frames of one episode, with a panel beside each of them if there is a `probe`.

    The return that follows a state is known once the episode is over. For the panel, the episode is
    therefore played twice from the same seed, and rendered the second time. If the second differs,
    the panel says so and shows no returns from there on. Raises `UserError` if rendering fails.

    on_step: called with each state that is rendered.
    """
    if probe is None:
        for step in play(player, env, seed, max_steps):
            on_step(step)
            yield render(env)
        return
    first, diagnoses = [], []
    for step in play(player, env, seed, max_steps):
        first.append(step[1:])
        diagnoses.append(probe(step.observation))
    rewards, terminated, _, life_lost = (list(column) for column in zip(*first, strict=True))
    overlay = overlay_of(probe, rewards, diagnoses, terminated[-1], life_lost)
    repeats = True
    for index, step in enumerate(play(player, env, seed, max_steps)):
        on_step(step)
        if repeats and (index >= len(first) or step[1:] != first[index]):
            repeats = False
            overlay = _known_until(overlay, index)
        diagnosis = probe(step.observation)
        following = overlay.returns[index] if repeats else None
        value = None if step.terminated else finite(diagnosis.value)
        bars, heading = policy_bars(diagnosis, probe.spaces, env)
        moment = Moment(value, following, finite(diagnosis.entropy), heading, bars)
        yield overlay.draw(render(env), index, moment)


def overlay_of(
    probe: CriticProbe,
    rewards: list[float],
    diagnoses: list[Diagnosis],
    terminated: bool,
    life_lost: list[bool],
) -> Overlay:
    """The panel of an episode. The first reward and the first lost life belong to no transition."""
    values = [finite(diagnosis.value) for diagnosis in diagnoses]
    followed = probe.returns(rewards[1:], diagnoses, terminated, life_lost[1:])
    returns: list[float | None] = [finite(x) for x in followed]
    if terminated:  # a critic never learns the value of a terminal state
        values[-1] = returns[-1] = None
        note = ""
    elif diagnoses[-1].value is None:
        returns[-1] = None
        note = "cut off: later rewards are not counted"
    else:
        note = "cut off: the return ends in the critic's value"
    bonus = "" if diagnoses[0].bonus is None else ", with entropy bonus"
    return Overlay(values, returns, f"{probe.units}{bonus}", note)


def _known_until(overlay: Overlay, index: int) -> Overlay:
    unknown = [None] * (len(overlay.values) - index)
    note = f"not repeatable: no returns from step {index:,} on"
    values, returns = ([*line[:index], *unknown] for line in (overlay.values, overlay.returns))
    return dataclasses.replace(overlay, values=values, returns=returns, note=note)


@runtime_checkable
class _NamesActions(Protocol):
    """An environment with a name for each of its actions, as Atari games have."""

    def get_action_meanings(self) -> list[Any]:
        """Return the names."""


def policy_bars(
    diagnosis: Diagnosis, spaces: Spaces, env: gymnasium.Env[Any, Any]
) -> tuple[list[Bar], str]:
    """Return the policy's distribution as bars of the panel, and their heading."""
    if isinstance(spaces.action, BoxAction):
        return _continuous_bars(diagnosis, spaces.action)
    if diagnosis.probabilities is None:
        return [], ""
    ranges = zip(spaces.action.sizes, spaces.action.starts, strict=True)
    names = [str(start + option) for size, start in ranges for option in range(size)]
    if spaces.action.size > 1:
        choices = [choice for choice, size in enumerate(spaces.action.sizes) for _ in range(size)]
        names = [f"{choice}: {name}" for choice, name in zip(choices, names, strict=True)]
    unwrapped = env.unwrapped
    meanings = unwrapped.get_action_meanings() if isinstance(unwrapped, _NamesActions) else []
    if len(meanings) == len(names):
        names = [str(meaning).lower() for meaning in meanings]
    shares = diagnosis.probabilities.tolist()
    rows = [
        Bar(name, 0.0, share, None, f"{share:.2f}")
        for name, share in zip(names, shares, strict=True)
    ]
    return rows, "action probabilities"


def _continuous_bars(diagnosis: Diagnosis, action: BoxAction) -> tuple[list[Bar], str]:
    if diagnosis.mean is None:
        return [], ""
    low, high = action.low.astype(float).flatten(), action.high.astype(float).flatten()
    std_A = np.zeros(action.size) if diagnosis.std is None else diagnosis.std
    rows = []
    for place, (mean, std) in enumerate(zip(diagnosis.mean.tolist(), std_A.tolist(), strict=True)):
        half = (high[place] - low[place]) / 2
        text = f"{low[place] + half * (mean + 1):.2f}"
        if diagnosis.std is not None:
            text += f" ± {half * std:.2f}"
        left, middle, right = (mean - std + 1) / 2, (mean + 1) / 2, (mean + std + 1) / 2
        rows.append(Bar(f"a[{place}]", left, right, middle, text))
    return rows, "action" if diagnosis.std is None else "action: mean ± standard deviation"


def finite(part: Array | float | None) -> float | None:
    """Return the number as a float; None for None, NaN and infinity."""
    return float(part) if part is not None and np.isfinite(part) else None


def render(env: gymnasium.Env[Any, Any]) -> Any:
    """Return the current frame of the environment. Raises `UserError` if rendering fails."""
    try:
        frame = env.render()
    except BaseException as error:  # drivers and missing packages can raise anything
        if is_interruption(error):
            raise
        remedy = "fix its render()"
        if "mujoco" in type(env.unwrapped).__module__:
            remedy = "MuJoCo needs MUJOCO_GL=egl or osmesa, and that library"
        raise UserError(
            f"the environment cannot be rendered - {summarize_error(error)} - {remedy}"
        ) from error
    if frame is None:
        raise UserError(
            "the environment cannot be rendered - its render() returned nothing - does it have the "
            "render mode rgb_array, and does the function that creates it pass render_mode on?"
        )
    return frame
