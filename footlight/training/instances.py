"""Further instances of the training environment, for evaluations and videos.

What is evaluated, recorded and called best is the environment that is trained on; where that is not
known, nothing is evaluated and the run says so.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gymnasium

from footlight.config.options import Options
from footlight.contexts import closing as closing_environments
from footlight.environments.carried import CARRIED, REMEDY
from footlight.environments.determinism import (
    HISTORY,
    NOT_COMPARED,
    NOT_PROBED,
    announcement,
    is_another,
)
from footlight.environments.foreign import OfTensors
from footlight.environments.remote import RemoteEnv
from footlight.environments.running_statistics import (
    remedy,
    share_statistics,
    statistics_wrappers,
    why_not_shared,
)
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import Environments, EnvironmentSource, Wanted
from footlight.environments.spaces import difference, text_notices
from footlight.environments.trial import DIFFERS, why_different
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.environments.wrappers import first_instance, recorders, reward_wrappers, single_envs
from footlight.errors import UserError
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.video_recorder import VideoRecorder
from footlight.instruments.videos import make_env
from footlight.learning.agent import Agent


class Instances:
    """Makes the further instances of a run's environment, or says why there are none.

    source: the environment as given. environments: those of the training, made from it.
    supervision: its `notify` prints at once; `notify_later` prints once it is certain that there
    will be a run. evaluation_source: an environment of the user's for the evaluations.
    """

    def __init__(
        self,
        source: EnvironmentSource,
        environments: Environments,
        options: Options,
        supervision: Supervision,
        notify_later: Callable[[str], None],
        evaluation_source: EnvironmentSource | None = None,
    ) -> None:
        self.source, self.environments, self.options = source, environments, options
        self._supervision, self._notify = supervision, supervision.notify
        self._notify_later, self._evaluation_source = notify_later, evaluation_source
        self.different: str | None = None
        """Why another instance is not known to be the training environment; None if it is."""
        self.changed: str | None = None
        """Why the object of a resumed run is not known to be that of the training, or None."""

    def examine(self, probe: Callable[..., str | None]) -> str | None:
        """Run the start-up probe unless it is off: why a new run could not be resumed exactly.

        None if it could.
        """
        for text in text_notices(self.environments.observation_space):
            self._notify_later(text)
        self._try_object()
        if self.options.probe == "off":
            return NOT_PROBED
        # One of tensors tells its state itself, so that a copy is not needed
        is_of_tensors = isinstance(first_instance(self.environments), OfTensors)
        return (None if is_of_tensors else self.different) or probe(
            self.source, self.environments, self.options.seed, self._supervision
        )

    def examine_resumed(self, manifest: Mapping[str, Any]) -> str | None:
        """The name of the environment of a resumed run if it is not the recorded one, else None.

        Raises `UserError` if its spaces show that it is another environment.
        """
        self._try_object(is_resumed=True)
        found, before = self.different or "", manifest["run"]["resume"]
        unknown = "resumed in an environment that is not known to be the recorded one"
        if found.startswith(DIFFERS) and found not in before:
            self.changed = f"{unknown}: {found}"
        elif not found and DIFFERS in before:
            self.changed = f"{unknown}, from which its copies differed"
        name, recorded = self.source.name(self.environments), manifest["run"]["environment"]
        if manifest["spaces"] != self.environments.spaces.to_json():
            raise UserError(
                f"the environment {name} has other spaces than {recorded}, which the run was "
                "trained in - give the same environment, or begin a new run"
            )
        return None if name == recorded else name

    def _try_object(self, is_resumed: bool = False) -> None:
        """Compare a given object with a copy before the training begins."""
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
        """Announce the probe's steps if the environment may be more than a simulation."""
        name = self.source.name(self.environments)
        if (text := announcement(self.source, name, is_resumed)) is not None:
            self._notify(text)

    @contextlib.contextmanager
    def evaluation_env(self, inexact: str | None) -> Iterator[Environments | None]:
        """Another environment for evaluations.

        None if no evaluations are wanted, or if another instance is not the training environment.
        inexact: what the start-up probe found. Raises `UserError` if no second one can be made.
        """
        if self._evaluation_source is not None:
            with self._given_evaluation_env(self._evaluation_source) as given:
                self._describe_wrappers()
                yield given
            return
        if is_another(inexact):
            self.different = self.different or inexact
        made: Environments | None = None
        if not self.different and self.options.eval_episodes != 0:
            made = self._make_evaluation_env()
        with contextlib.ExitStack() as closing:
            if made is not None:
                closing.enter_context(closing_environments(made, self._notify))
                self.different = self._compare(made)
            if self.different and (self.options.eval_episodes != 0 or self.options.records_videos):
                remedy = f" - {REMEDY}" if self.different.startswith(CARRIED) else ""
                self._notify_later(f"no evaluations, no videos: {self.different}{remedy}")
            elif made is not None:
                share_statistics(self.environments, made)
                if inexact is not None and inexact.startswith(HISTORY):
                    self._notify_later(
                        "evaluations use another instance, without the history of the training's"
                    )
            self._describe_wrappers()
            yield None if self.different else made

    @contextlib.contextmanager
    def _given_evaluation_env(self, source: EnvironmentSource) -> Iterator[Environments | None]:
        """The user's own environment for evaluations; None if no evaluations are wanted.

        Raises `UserError` if its spaces or running statistics are not those of the training.
        """
        options = self.options
        if options.eval_episodes == 0:
            raise UserError(
                "eval_environment is given, but eval_episodes is 0 - nothing would be evaluated in "
                "it - omit eval_environment, or raise eval_episodes"
            )
        if source.is_atari:
            episodes = options.training_eval_episodes
            made = source.make_for_evaluation(options.seed, "evaluation", episodes)
        else:
            made = source.make(Wanted(options.seed, stream="evaluation"))
        with closing_environments(made, self._notify):
            what = difference(self.environments, made, observation_bounds=False)
            what = what or why_not_shared(first_instance(self.environments), first_instance(made))
            if what is not None:
                name = source.name(made)
                raise UserError(
                    f"eval_environment {name} does not fit the training's environment: {what}"
                )
            self._evaluation_name = source.name(made)
            share_statistics(self.environments, made)
            yield made

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
                f"evaluations need a second environment, and {error} - eval_episodes 0 leaves them "
                "out"
            ) from error
        self._require_own(made, "evaluations need one of their own", "eval_episodes 0")
        return SerialEnvironments([made], options.seed, "evaluation")

    def _compare(self, made: Any) -> str | None:
        """How an instance differs from the training environment; None if it does not."""
        # Native versions of an id may have other bounds, which nothing is rescaled to
        with_bounds = self.options.vectorization != "native"
        if (what := difference(self.environments, made, with_bounds)) is not None:
            return f"another instance has other spaces than the training's: {what}"
        return why_not_shared(first_instance(self.environments), first_instance(made))

    def _require_own(self, made: gymnasium.Env[Any, Any], why: str, without: str) -> None:
        """Raise `UserError` if an environment that was made again is one of the training's."""
        if any(made.unwrapped is env.unwrapped for env in single_envs(self.environments)):
            raise UserError(
                f"{self.source.name(self.environments)} returned the environment of the training "
                f"again - {why} - create a new one on each call, or use {without}"
            )

    def _describe_wrappers(self) -> None:
        """Print which rewards returns are sums of, and which statistics evaluations use."""
        first = first_instance(self.environments)
        if names := self.returns_of:
            self._notify_later(
                f"returns are sums of the rewards as modified by {names}, in training and "
                "evaluation"
            )
        if names := ", ".join(statistics_wrappers(first)):
            several = len(single_envs(self.environments)) > 1
            which = " of environment 0" if several else ""
            self._notify_later(
                f"{names}: evaluations use the current statistics{which} without updating them "
                f"({remedy(names)} replaces the wrapper and stores them with the policy)"
            )
        if not isinstance(first, RemoteEnv) and (names := ", ".join(recorders(first))):
            self._notify_later(
                f"{names}: applied in training only; its files contain no evaluation episodes"
            )

    @property
    def record(self) -> dict[str, Any]:
        """What `config.json` holds about evaluations."""
        record: dict[str, Any] = {"no_evaluations": self.different, "returns_of": self.returns_of}
        if (source := self._evaluation_source) is not None:
            record |= {"no_evaluations": None}
            record["eval_environment"] = {"environment": self._evaluation_name, **source.settings()}
        return record

    @property
    def returns_of(self) -> str | None:
        """Names of the wrappers that change the rewards of the training; None if there are none."""
        return ", ".join(reward_wrappers(first_instance(self.environments))) or None

    def recorder(self, agent: Agent) -> VideoRecorder | None:
        """The video recorder, after one test frame; None if no videos are wanted.

        Raises `UserError` if no videos can be recorded, or none of the training environment.
        """
        options = self.options
        if not options.records_videos:
            if options.overlay:
                raise UserError(
                    "overlay is true, but video_every is 0 - there would be no video to draw it "
                    "on - give video_every, too"
                )
            return None
        if self.different:
            raise UserError(
                f"videos cannot be recorded: {self.different} - give a function that makes one, or "
                "leave video_every out"
            )

        def make_drawn() -> gymnasium.Env[Any, Any]:
            env = make_env(self.source, "rgb_array")
            self._require_own(env, "videos need one of their own", "video_every 0")
            if (what := self._compare(env)) is not None:
                env.close()
                raise UserError(f"videos cannot be recorded - {what}")
            share_statistics(self.environments, env)
            return env

        parts = agent.algorithm, agent.spaces, agent.state, agent.normalizer
        probe = CriticProbe(*parts) if options.overlay else None
        player = partial(agent.policy.player, deterministic=not options.eval_stochastic)
        recorder = VideoRecorder(make_drawn, player, probe, options.seed, self._notify)
        recorder.render_test_frame()
        return recorder
