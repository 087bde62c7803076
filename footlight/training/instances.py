"""Further instances of the training environment, for evaluations and videos.

What is evaluated, filmed and called best is what was trained on, or nothing is evaluated and the run says so.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gymnasium

from footlight.config.options import Options
from footlight.contexts import closing as closing_environments
from footlight.environments.determinism import DIFFERENT, NOT_COMPARED, NOT_PROBED, announcement
from footlight.environments.history import steps_to_restore
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import Environments, EnvironmentSource
from footlight.environments.spaces import difference
from footlight.environments.trial import why_different
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.environments.wrappers import (
    first_instance,
    recorders,
    remedy,
    reward_wrappers,
    share_statistics,
    statistics_wrappers,
    why_not_shared,
)
from footlight.errors import UserError
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.video_recorder import VideoRecorder
from footlight.instruments.videos import make_env
from footlight.learning.agent import Agent
from footlight.types import Array

LONG_REPLAY = 5_000  # steps
COMPARED_STEPS = 10  # that have to be replayed to know an environment of another name for the same


class Instances:
    """Makes the further instances of a run's environment, and says why there are none.

    source: the environment as given. environments: those of the training, made from it. say: where lines go at once, `later`
    where those go that are printed when it is known that there will be a run.
    """

    def __init__(
        self, source: EnvironmentSource, environments: Environments, options: Options, supervision: Supervision,
        later: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.source, self.environments, self.options = source, environments, options
        self._supervision, self._say, self._later = supervision, supervision.say, later
        self.different: str | None = None
        """Why another instance is not, or not known to be, the environment that is trained in."""

    def examine(self, probe: Callable[..., str | None]) -> str | None:
        """Why a new run could not be resumed exactly, None where it can: what the start-up probe says, if it is wanted."""
        self._try_object()
        if self.options.probe == "off":
            return NOT_PROBED
        return self.different or probe(
            self.source, self.environments, self.options.seed, self._supervision
        )

    def examine_resumed(self, manifest: Mapping[str, Any]) -> str | None:
        """The name of the environment that a run is resumed in, where the record has another name; None where it has the same.

        Raises `UserError` where its spaces say that it is another environment.
        """
        self._try_object(is_resumed=True)
        name, recorded = self.source.name(self.environments), manifest["run"]["environment"]
        if manifest["spaces"] != self.environments.spaces.to_json():
            raise UserError(
                f"the environment {name} has other spaces than {recorded}, which the run was trained in - "
                "give the same environment, or begin a new run"
            )
        return None if name == recorded else name

    def _try_object(self, is_resumed: bool = False) -> None:
        """Find out whether a given object can be made again, before the training begins."""
        if self.options.probe == "off":
            self.different = NOT_COMPARED if self.source.is_object else None
            return
        try:
            self.source.remake()
        except UserError as error:
            self.different = str(error).partition(" - give ")[0]
            return
        if self.source.is_object or not is_resumed:
            self._announce(is_resumed)
        self.different = why_different(self.source, self.options.seed)

    def _announce(self, is_resumed: bool) -> None:
        """Say what will be done to an environment that may be more than a simulation, before it is done."""
        if (
            text := announcement(self.source, self.source.name(self.environments), is_resumed)
        ) is not None:
            self._say(text)

    @contextlib.contextmanager
    def evaluation_env(self, inexact: str | None) -> Iterator[Environments | None]:
        """Another environment, to evaluate in; None where no evaluation is wanted, or none would be of what is trained on.

        inexact: what the start-up probe found. Raises `UserError` where a second instance is refused.
        """
        if inexact is not None and inexact.startswith(DIFFERENT):
            self.different = self.different or inexact
        made = (
            None
            if self.different or self.options.eval_episodes == 0
            else self._make_evaluation_env()
        )
        with contextlib.ExitStack() as closing:
            if made is not None:
                closing.enter_context(closing_environments(made, self._say))
                self.different = self._compare(made)
            if self.different and (self.options.eval_episodes != 0 or self.options.video_every):
                self._later(f"no evaluations, no videos: {self.different}")
            elif made is not None:
                share_statistics(self.environments, made)
            self._describe_wrappers()
            yield None if self.different else made

    def _make_evaluation_env(self) -> Environments:
        options, source = self.options, self.source
        try:
            if source.is_atari:
                episodes = options.training_eval_episodes
                return source.make_for_evaluation(options.seed, "evaluation", episodes)
            if options.vectorization == "async":  # it may need a process of its own
                return AsyncEnvironments(
                    source.make_another, 1, options.seed, "evaluation", self._supervision
                )
            made = source.make_another()
        except UserError as error:
            raise UserError(
                f"evaluations need a second environment, and {error} - eval_episodes 0 leaves them out"
            ) from error
        self._require_own(made, "evaluations need one of their own", "eval_episodes 0")
        return SerialEnvironments([made], options.seed, "evaluation")

    def _compare(self, made: Any) -> str | None:
        """Why what was made is another environment than the training's."""
        # The versions in C++ that stand in for an id have other bounds here and there, and nothing is rescaled to them
        if (
            what := difference(self.environments, made, self.options.vectorization != "native")
        ) is not None:
            return f"another instance has other spaces than the training's: {what}"
        return why_not_shared(first_instance(self.environments), first_instance(made))

    def _require_own(self, made: gymnasium.Env[Any, Any], why: str, without: str) -> None:
        """Raise `UserError` where an environment that was made again is one of the training's."""
        if any(made.unwrapped is env.unwrapped for env in getattr(self.environments, "envs", ())):
            raise UserError(
                f"{self.source.name(self.environments)} returned the environment of the training again - {why} - "
                f"create a new one on each call, or use {without}"
            )

    def _describe_wrappers(self) -> None:
        """Say what returns are sums of, and whose statistics evaluations use."""
        first = first_instance(self.environments)
        if names := self.returns_of:
            self._later(
                f"returns are sums of the rewards as modified by {names}, in training and evaluation"
            )
        if names := ", ".join(statistics_wrappers(first)):
            which = (
                " of environment 0"
                if self.environments.num_envs > 1 and hasattr(self.environments, "envs")
                else ""
            )
            self._later(
                f"{names}: evaluations use the current statistics{which} without updating them "
                f"({remedy(names)} replaces the wrapper and stores them with the policy)"
            )
        if not hasattr(first, "call_remote") and (names := ", ".join(recorders(first))):
            self._later(
                f"{names}: applied in training only; its files contain no evaluation episodes"
            )

    @property
    def record(self) -> dict[str, str | None]:
        """What `config.json` says about evaluations."""
        return {"no_evaluations": self.different, "returns_of": self.returns_of}

    @property
    def returns_of(self) -> str | None:
        """Names of the wrappers that make the rewards of the training from the environment's own; None: it is the own ones."""
        return ", ".join(reward_wrappers(first_instance(self.environments))) or None

    def recorder(self, agent: Agent) -> VideoRecorder | None:
        """What makes the videos of a training, after one test frame; None where none are wanted.

        Raises `UserError` where there can be none, or none would be of what is trained on.
        """
        options = self.options
        if options.video_every == 0:
            if options.overlay:
                raise UserError(
                    "overlay is true - there are no videos to put it in - give video_every, too"
                )
            return None
        if self.different:
            raise UserError(
                f"there can be no videos: {self.different} - give a function that makes one, or leave video_every out"
            )

        def make_drawn() -> gymnasium.Env[Any, Any]:
            env = make_env(self.source, "rgb_array")
            self._require_own(env, "videos need one of their own", "video_every 0")
            if (what := self._compare(env)) is not None:
                env.close()
                raise UserError(f"there can be no videos - {what}")
            share_statistics(self.environments, env)
            return env

        parts = agent.algorithm, agent.spaces, agent.state, agent.normalizer
        probe = CriticProbe(*parts) if options.overlay else None
        player = partial(agent.policy.player, deterministic=not options.eval_stochastic)
        recorder = VideoRecorder(make_drawn, player, probe, options.seed, self._say)
        recorder.render_test_frame()
        return recorder


def announce_restoration(arrays: Mapping[str, Array], say: Callable[[str], None]) -> int:
    """The number of steps it takes to restore the environments, which is announced where it is large."""
    if (steps := steps_to_restore(arrays)) > LONG_REPLAY:
        say(
            f"replaying {steps:,} steps to restore the environments; Ctrl-C leaves the run unchanged"
        )
    return steps


def check_restoration(
    name: str | None, record: Mapping[str, Any], is_astray: bool, steps: int
) -> str | None:
    """Why a run is not known to be resumed in its own environment, where it has another `name` than the record; None where it is.

    is_astray: whether replaying the last episodes, which took so many `steps`, led to a different state.
    Raises `UserError` where that shows that the environment is another one.
    """
    if name is None or not (is_astray or steps < COMPARED_STEPS):
        return None
    if is_astray and record["resume"] == "exact":
        raise UserError(
            f"{name} is not the environment {record['environment']} that the run was trained in - replaying the last "
            "episode leads to a different state - give the same environment, or begin a new run"
        )
    return f"resumed in {name}, which is not known to be {record['environment']}"
