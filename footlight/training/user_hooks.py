"""Hooks of your own, and how they are called.

def show(training: HookContext) -> None:
    print(training.step, training.metrics)

footlight.train("ppo", "CartPole-v1", hooks=[footlight.every(10_000, show)])
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch

from footlight.errors import UserError, describe_error
from footlight.signals import is_interruption
from footlight.training.hook_context import HookContext
from footlight.training.hooks import Clock, Stateful
from footlight.training.loop import Step

UserHook = Callable[..., object]


class HookFailed(UserError):
    """A hook raised an exception between two steps: the state of the training is intact."""


@dataclass(frozen=True)
class OnEpisode:
    """Calls a hook with each training episode that ends."""

    hook: UserHook

    def __call__(self, training: HookContext) -> None:
        """Call the hook once for each episode that ended in this step."""
        for episode in training.episodes:
            self.hook(training, episode)


@dataclass(frozen=True)
class OnEvaluation:
    """Calls a hook with each evaluation, the final one included."""

    hook: UserHook

    def __call__(self, training: HookContext) -> None:
        """Call the hook if there was an evaluation at this step."""
        if (evaluation := training.evaluation) is not None:
            self.hook(training, evaluation)


def on_episode(hook: UserHook) -> OnEpisode:
    """Call `hook(training, episode)` after each training episode.

    episode: its `env`, `total` (the return), `length`, `terminated`, and `info`, that of its last
        step as far as it can be logged: flags, numbers, short texts, small arrays.
    """
    return OnEpisode(hook)


def on_evaluation(hook: UserHook) -> OnEvaluation:
    """Call `hook(training, evaluation)` after each evaluation, the final one included."""
    return OnEvaluation(hook)


class UserHooks:
    """The hook that calls the user's hooks, and does what they ask for, once it has a `context`.

    Raises `UserError` where something that was given is not a hook.
    """

    context: HookContext

    def __init__(self, hooks: Sequence[UserHook]) -> None:
        if not isinstance(hooks, Sequence):
            raise UserError(f"hooks is {hooks!r:.80} - give a list of hooks")
        self._bare = [_bare(hook) for hook in hooks]
        self.names = [_name(hook) for hook in self._bare]
        for hook in self._bare:
            if not callable(hook):
                raise UserError(f"{hook!r:.80} is not a hook - give a function of one argument")
        guarded = [_Guarded(hook, name) for hook, name in zip(self._bare, self.names, strict=True)]
        self._hooks = [_inside(hook, call) for hook, call in zip(hooks, guarded, strict=True)]
        self._evaluation_hooks = [hook for hook in self._hooks if isinstance(hook, OnEvaluation)]
        self._step_hooks = [hook for hook in self._hooks if not isinstance(hook, OnEvaluation)]
        self._evaluated = -1  # the step whose evaluation the hooks have seen

    @property
    def notices(self) -> list[str]:
        """Lines about the hooks for the beginning of a run."""
        if not self.names:
            return []
        pairs = zip(self._bare, self.names, strict=True)
        without = [name for hook, name in pairs if not isinstance(hook, Stateful)]
        lines = [f"hooks: {', '.join(self.names)}"]
        if without:
            what = "has no state() and restore()" if len(without) == 1 else "have no state()"
            lines.append(
                f"{', '.join(without)} {what}: checkpoints do not save it, and a resumed run "
                "starts with the hooks that it is given"
            )
        return lines

    def __call__(self, step: Step) -> None:
        """Call all hooks with this step, then make what they have asked for."""
        context = self.context
        context._step = step
        for hook in self._step_hooks:
            hook(context)
        if context._wants_evaluation:
            context._wants_evaluation = False
            context._evaluator.evaluate_and_log(step.number)
        if self._evaluation_hooks:
            self.after_evaluation()
        if context._numbers or context._wants_video:
            self._record(step.number)

    def after_evaluation(self) -> None:
        """Call the hooks that wait for an evaluation, once for each."""
        context = self.context
        if self._evaluated != context.step and context.evaluation is not None:
            self._evaluated = context.step
            for hook in self._evaluation_hooks:
                hook(context)

    def _record(self, step: int) -> None:
        """Log the numbers of this step, and record the video that was asked for."""
        context = self.context
        session, agent = context._session, context.agent
        numbers, context._numbers = context._numbers, {}
        if finite := {name: x for name, x in numbers.items() if math.isfinite(x)}:
            session.append_metrics(finite)
            session.display.update(step, updates=agent.num_updates, metrics=finite)
        if not_finite := ", ".join(numbers.keys() - finite.keys()):
            session.display.notify(f"{not_finite} at step {step:,}: not finite, so not logged")
        if context._wants_video:
            context._wants_video = False
            context._videos.record(step)

    def finish(self) -> None:
        """After the final evaluation: call the hooks that wait for it, and log their numbers."""
        self.after_evaluation()
        if self.context._numbers:
            self._record(self.context.step)

    def state(self) -> dict[str, Any]:
        """Names and states of the hooks, for a checkpoint. Raises `UserError`."""
        states = [_state(hook, name) for hook, name in zip(self._bare, self.names, strict=True)]
        pairs = zip(self.names, states, strict=True)
        return {"hooks": [{"name": name, "state": state} for name, state in pairs]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, hook by hook. Raises `UserError`."""
        saved = state.get("hooks", [])
        for hook, name, entry in zip(self._bare, self.names, saved, strict=False):
            if entry["name"] == name and entry["state"] is not None and isinstance(hook, Stateful):
                try:
                    hook.restore(entry["state"])
                except Exception as error:
                    what = f"restore of the hook {name} raised {describe_error(error)}"
                    raise UserError(f"{what} - fix the hook") from error


class _Guarded:
    """A hook as it is called: its errors name it, and the training is as it was afterwards."""

    def __init__(self, hook: UserHook, name: str) -> None:
        self._hook, self._name = hook, name

    def __call__(self, training: HookContext, *given: Any) -> None:
        agent, threads = training.agent, torch.get_num_threads()
        before = agent.num_steps, agent.num_updates
        try:
            self._hook(training, *given)
        except BaseException as error:  # SystemExit included, which would end the program
            if is_interruption(error):
                raise
            what = f"the hook {self._name} failed at step {before[0]:,}: {describe_error(error)}"
            raise HookFailed(f"{what} - the run is saved; fix the hook, then resume") from error
        finally:
            if torch.get_num_threads() != threads:  # another number rounds differently
                torch.set_num_threads(threads)
        if agent.pending is not None or before != (agent.num_steps, agent.num_updates):
            raise UserError(
                f"the hook {self._name} has used the agent to explore or to learn, which the "
                "loop does - use agent.policy.act, or a loop of your own over footlight.steps"
            )


def _bare(hook: Any) -> Any:
    """The hook itself, inside `every`, `on_episode` and `on_evaluation`."""
    while isinstance(hook, Clock | OnEpisode | OnEvaluation):
        hook = hook.hook
    return hook


def _inside(hook: Any, call: Any) -> Any:
    """`call` in place of the hook inside `every`, `on_episode` or `on_evaluation`."""
    if isinstance(hook, Clock | OnEpisode | OnEvaluation):
        return replace(hook, hook=_inside(hook.hook, call))
    return call


def _name(hook: Any) -> str:
    """The name of a hook in messages and checkpoints: its function's, or its class's."""
    if isinstance(hook, FunctionType | MethodType | BuiltinFunctionType | type):
        return hook.__qualname__.rpartition("<locals>.")[-1]
    return type(hook).__name__


def _state(hook: Any, name: str) -> dict[str, Any] | None:
    if not isinstance(hook, Stateful):
        return None
    try:
        state = hook.state()
        return dict(json.loads(json.dumps(state, allow_nan=False)))
    except Exception as error:
        what = f"the state of the hook {name} cannot be saved: {describe_error(error)}"
        raise UserError(f"{what} - return a dict of numbers, texts, lists and dicts") from error
