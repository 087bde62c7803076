"""Episodes as films, with or without what the critic made of them; and the films of a training."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from footlight.contexts import closing, default_variables
from footlight.environments.atari import LIFE_LOST
from footlight.environments.faults import as_fault
from footlight.environments.make import EnvironmentSource
from footlight.environments.remake import make_another
from footlight.errors import UserError, in_short
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.overlay import Bar, Moment, Overlay
from footlight.instruments.video import Frame, require_ffmpeg, write_video
from footlight.instruments.window import lacks_screen, require_screen
from footlight.signals import is_interruption
from footlight.storage.files import make_own_folder
from footlight.streams import derived_seed
from footlight.types import Array, BoxAction, Diagnosis, Spaces

MAX_SECONDS = 600  # playing time of an episode in a film: one that never ends is cut there
MAX_FAILURES = 3  # in a row; then a training makes no more films

Act = Callable[[Any], Any]
Player = Callable[[int], Act]
"""Gives what acts in the episode of a seed, and the same for the same seed."""


class Step(NamedTuple):
    """A state of an episode, and how it came about: `reward` is raw and led here, perhaps at the price of a life."""

    observation: Any
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    life_lost: bool = False


def make_env(source: EnvironmentSource, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One more environment like `source`, to look at or to evaluate in. Raises `UserError` where it cannot be made again."""
    if render_mode == "human":
        require_screen()
    if render_mode is None or not lacks_screen():
        return make_another(source, render_mode)
    with _drawing_off_screen():
        return _OffScreen(make_another(source, render_mode))


def _drawing_off_screen() -> contextlib.AbstractContextManager[None]:
    """SDL and MuJoCo read these when they first draw, which may be in any call of the environment."""
    return default_variables(SDL_VIDEODRIVER="dummy", MUJOCO_GL="egl")


class _OffScreen(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that renders without a screen."""

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The environment's own spec, without this wrapper."""
        return self.env.spec

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        with _drawing_off_screen():
            return super().reset(**how)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with _drawing_off_screen():
            return super().step(action)

    def render(self) -> Any:
        with _drawing_off_screen():
            return super().render()


def frames_per_second(env: gymnasium.Env[Any, Any]) -> float:
    """As the environment says; 30 where it says nothing."""
    return float(env.metadata.get("render_fps") or 30)


def play(
    player: Player, env: gymnasium.Env[Any, Any], seed: int, most_steps: int | None = None
) -> Iterator[Step]:
    """The states of one episode, the first and the last included; after `most_steps` steps it is cut off."""
    act = player(seed)
    with as_fault("the environment's reset"):
        observation, _ = env.reset(seed=seed)
    step = Step(observation)
    yield step
    for _ in itertools.islice(itertools.count(), most_steps):
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


def film(
    player: Player,
    env: gymnasium.Env[Any, Any],
    seed: int,
    probe: CriticProbe | None = None,
    most_steps: int | None = None,
) -> Iterator[Frame]:
    """The pictures of one episode, with a panel beside them where there is an `probe`. Raises `UserError` where there is none.

    The return that follows a state is known when the episode is over: for the panel it is played twice from the same seed, and
    drawn the second time. Where the second differs, the panel says so, and knows no returns from there on.
    """
    if probe is None:
        for _ in play(player, env, seed, most_steps):
            yield picture(env)
        return
    first, diagnoses = [], []
    for step in play(player, env, seed, most_steps):
        first.append(step[1:])
        diagnoses.append(probe(step.observation))
    rewards, terminated, _, life_lost = (list(column) for column in zip(*first, strict=True))
    overlay = overlay_of(probe, rewards, diagnoses, terminated[-1], life_lost)
    repeats = True
    for index, step in enumerate(play(player, env, seed, most_steps)):
        if repeats and (index >= len(first) or step[1:] != first[index]):
            repeats = False
            overlay = _known_until(overlay, index)
        diagnosis = probe(step.observation)
        following = overlay.returns[index] if repeats else None
        value = None if step.terminated else finite(diagnosis.value)
        bars, heading = policy_bars(diagnosis, probe.spaces, env)
        yield overlay.draw(
            picture(env), index, Moment(value, following, finite(diagnosis.entropy), heading, bars)
        )


def overlay_of(
    probe: CriticProbe,
    rewards: list[float],
    diagnoses: list[Diagnosis],
    terminated: bool,
    life_lost: list[bool],
) -> Overlay:
    """The panel of an episode of these rewards and lost lives (the first of each, of the state that nothing led to, is none)."""
    values = [finite(diagnosis.value) for diagnosis in diagnoses]
    followed = probe.returns(rewards[1:], diagnoses, terminated, life_lost[1:])
    returns: list[float | None] = [finite(x) for x in followed]
    if terminated:  # what a critic says of a state that nothing follows is never learned
        values[-1] = returns[-1] = None
        note = ""
    elif diagnoses[-1].value is None:
        returns[-1] = None
        note = "cut short: what would have followed is not counted"
    else:
        note = "cut short: the return ends in the critic's value"
    bonus = "" if diagnoses[0].bonus is None else ", with entropy bonus"
    return Overlay(values, returns, f"{probe.units}{bonus}", note)


def _known_until(overlay: Overlay, index: int) -> Overlay:
    unknown = [None] * (len(overlay.values) - index)
    note = f"not repeatable: no returns from step {index:,} on"
    values, returns = ([*line[:index], *unknown] for line in (overlay.values, overlay.returns))
    return dataclasses.replace(overlay, values=values, returns=returns, note=note)


def policy_bars(
    diagnosis: Diagnosis, spaces: Spaces, env: gymnasium.Env[Any, Any]
) -> tuple[list[Bar], str]:
    """The policy's distribution as rows of the panel, and their heading."""
    if isinstance(spaces.action, BoxAction):
        return _continuous_bars(diagnosis, spaces.action)
    if diagnosis.probabilities is None:
        return [], ""
    names = [str(start + option) for size, start in zip(spaces.action.sizes, spaces.action.starts, strict=True)
             for option in range(size)]  # fmt: skip
    if spaces.action.size > 1:
        choices = [choice for choice, size in enumerate(spaces.action.sizes) for _ in range(size)]
        names = [f"{choice}: {name}" for choice, name in zip(choices, names, strict=True)]
    meanings: list[Any] = getattr(
        env.unwrapped, "get_action_meanings", list
    )()  # Atari has words for its actions
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
        text = f"{low[place] + half * (mean + 1):.2f}" + (
            "" if diagnosis.std is None else f" ± {half * std:.2f}"
        )
        rows.append(
            Bar(f"a[{place}]", (mean - std + 1) / 2, (mean + std + 1) / 2, (mean + 1) / 2, text)
        )
    return rows, "action" if diagnosis.std is None else "action: mean ± standard deviation"


def finite(part: Array | float | None) -> float | None:
    """The number as one that can be drawn, None where there is none."""
    return float(part) if part is not None and np.isfinite(part) else None


def picture(env: gymnasium.Env[Any, Any]) -> Any:
    """What the environment looks like now. Raises `UserError` where it cannot be drawn."""
    try:
        shown = env.render()
    except (
        BaseException
    ) as error:  # a driver's, a missing package's: whatever rendering stumbles over
        if is_interruption(error):
            raise
        is_mujoco = "mujoco" in type(env.unwrapped).__module__
        remedy = (
            "MuJoCo needs MUJOCO_GL=egl or osmesa, and that library"
            if is_mujoco
            else "mend its render()"
        )
        raise UserError(
            f"the environment cannot be drawn - {in_short(error)} - {remedy}"
        ) from error
    if shown is None:
        raise UserError(
            "the environment cannot be drawn - its render() returned nothing - "
            "does it have the render mode rgb_array, and does the function that makes it accept render_mode and pass it on?"
        )
    return shown


class _Stopping(Exception):
    """The training is to end: its film is not waited for."""


class Recorder:
    """Makes films of a policy that is in training, each in an environment of its own; whatever goes wrong harms no training.

    make_env: gives an environment that draws. player: the policy, as evaluations have it. say: where notices go. is_stopping:
    whether the training was told to end, when a film is given up.
    """

    def __init__(
        self, make_env: Callable[[], gymnasium.Env[Any, Any]], player: Player, probe: CriticProbe | None, seed: int,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._make_env, self._player, self._probe, self._say = make_env, player, probe, say
        self._seed = derived_seed(
            seed, "watch", 0
        )  # the episode that `footlight watch` shows: films of one run begin alike
        self._failures = 0

    def try_out(self) -> None:
        """Draw one picture. Raises `UserError` where there can be no films."""
        require_ffmpeg()
        with closing(self._make_env(), self._say) as env:
            try:
                with as_fault("the environment's reset"):
                    observation, _ = env.reset(seed=self._seed)
                if self._probe is not None:
                    self._probe(observation)
            except Exception as error:  # the user's own code: whatever it stumbles over
                raise UserError(
                    f"there can be no videos - {in_short(error)} - mend that, or leave video_every out"
                ) from error
            picture(env)

    def record(self, path: Path, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Film one episode into the file `path`, whose name is said where it fails."""
        if self._failures >= MAX_FAILURES:
            return

        def player(seed: int) -> Act:
            act = self._player(seed)

            def unless_stopping(observation: Any) -> Any:
                if is_stopping():
                    raise _Stopping
                return act(observation)

            return unless_stopping

        try:
            make_own_folder(path.parent)
            for half in path.parent.glob(".step-*.mp4"):  # of a training that was killed
                half.unlink()
            with closing(self._make_env(), self._say) as env:
                fps = frames_per_second(env)
                write_video(
                    film(player, env, self._seed, self._probe, int(MAX_SECONDS * fps)), path, fps
                )
        except _Stopping:
            return
        except (
            Exception
        ) as error:  # drivers, disks, the user's own code: none of it is worth a training
            self._failures += 1
            more = (
                "goes on"
                if self._failures < MAX_FAILURES
                else f"goes on without videos after {MAX_FAILURES} failures in a row"
            )
            self._say(f"no video {path.name} - {in_short(error)} - the training {more}")
        else:
            self._failures = 0
