"""Hooks of your own, and how they are called.

def show(training: HookContext) -> None:
    print(training.step, training.metrics)

footlight.train("ppo", "CartPole-v1", hooks=[footlight.every(10_000, show)])
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from footlight.errors import UserError, describe_error, place_of
from footlight.signals import is_interruption
from footlight.training.hook_calls import GuardedHook, UserHook, name_of_hook, require_hook
from footlight.training.hook_context import HookContext
from footlight.training.hooks import Clock, Stateful
from footlight.training.loop import Step
from footlight.user_code.reference import place_in_loaded


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
    _require_function(hook, "on_episode", "episode")
    return OnEpisode(hook)


def on_evaluation(hook: UserHook) -> OnEvaluation:
    """Call `hook(training, evaluation)` after each evaluation, the final one included."""
    _require_function(hook, "on_evaluation", "evaluation")
    return OnEvaluation(hook)


def _require_function(hook: Any, name: str, given: str) -> None:
    """Raise `UserError` for what cannot be called; a run checks the rest when it begins."""
    if not callable(hook):
        raise UserError(
            f"{name} was given {hook!r:.80} - it cannot be called - give a function of two "
            f"arguments, (training, {given})"
        )


class UserHooks:
    """The hook that calls the user's hooks, and does what they ask for, once it has a `context`.

    Raises `UserError` where something that was given is not a hook.
    """

    context: HookContext

    def __init__(self, hooks: Sequence[UserHook]) -> None:
        if not isinstance(hooks, Sequence):
            raise UserError(f"hooks is {hooks!r:.80} - give a list of hooks")
        for hook in hooks:
            _require_order(hook)
        self._bare = [_bare(hook) for hook in hooks]
        self.names = [name_of_hook(hook) for hook in self._bare]
        for hook in self._bare:
            require_hook(hook)
        pairs = zip(self._bare, self.names, strict=True)
        guarded = [GuardedHook(hook, name) for hook, name in pairs]
        self._hooks = [_inside(hook, call) for hook, call in zip(hooks, guarded, strict=True)]
        self._evaluation_hooks = [hook for hook in self._hooks if isinstance(hook, OnEvaluation)]
        self._step_hooks = [hook for hook in self._hooks if not isinstance(hook, OnEvaluation)]
        self._evaluated = -1  # the step whose evaluation the hooks have seen
        # Before this step, only the end of an episode can concern one of the step hooks
        self._next = 0.0
        self._can_wait = all(isinstance(hook, Clock | OnEpisode) for hook in self._step_hooks)

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
        number = step.number
        if number >= self._next or step.episodes:
            for hook in self._step_hooks:
                hook(context)
            if self._can_wait:
                calls = [_next_call(hook, number) for hook in self._step_hooks]
                self._next = min(calls, default=math.inf)
        if context._wants_evaluation:
            context._wants_evaluation = False
            context._evaluator.evaluate_and_log(number, is_requested=True)
        if self._evaluation_hooks and context._evaluator.at(number) is not None:
            self.after_evaluation()
        if context._numbers or context._wants_video:
            self._record(number)

    def after_evaluation(self) -> None:
        """Call the hooks that wait for an evaluation, once for each."""
        context = self.context
        if self._evaluated != context.step and context.evaluation is not None:
            for hook in self._evaluation_hooks:
                hook(context)
            self._evaluated = context.step

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

    @property
    def waiting_for_evaluations(self) -> str:
        """The names of the hooks that are called after evaluations only."""
        pairs = zip(self._hooks, self.names, strict=True)
        return ", ".join(name for hook, name in pairs if isinstance(hook, OnEvaluation))

    def finish(self) -> None:
        """After the final evaluation, or one that a resumed run has made up for: call the hooks
        that wait for it, and log their numbers."""
        self.after_evaluation()
        if self.context._numbers:
            self._record(self.context.step)

    def state(self) -> dict[str, Any]:
        """Names and states of the hooks, for a checkpoint. Raises `UserError`."""
        states = [_state(hook, name) for hook, name in zip(self._bare, self.names, strict=True)]
        pairs = zip(self.names, states, strict=True)
        entries = [{"name": name, "state": state} for name, state in pairs]
        return {"hooks": entries, "hooks_evaluated": self._evaluated}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned: each hook's state is found by the hook's name, that of the
        second of the same name in the second place. Raises `UserError`."""
        self._evaluated, self._next = state.get("hooks_evaluated", -1), 0.0
        entries = state.get("hooks", [])
        saved = dict(zip(_numbered(entry["name"] for entry in entries), entries, strict=True))
        for hook, key in zip(self._bare, _numbered(self.names), strict=True):
            entry = saved.get(key, {"state": None})
            if entry["state"] is not None and isinstance(hook, Stateful):
                try:
                    hook.restore(entry["state"])
                except BaseException as error:
                    if is_interruption(error):
                        raise
                    what = f"restore of the hook {key[0]} raised {describe_error(error)}"
                    raise UserError(f"{what} - fix the hook") from error


def _numbered(names: Iterable[str]) -> list[tuple[str, int]]:
    """Each name with the number of equal ones before it."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        found.append((name, counts[name]))
        counts[name] += 1
    return found


def _next_call(hook: Any, number: int) -> float:
    """The next step at which a hook can be called, apart from those that end an episode."""
    if isinstance(hook, Clock) and hook.interval:
        return (number // hook.interval + 1) * hook.interval
    return math.inf


def _require_order(hook: Any) -> None:
    """Raise `UserError` for `every` and the like inside `on_episode` or `on_evaluation`."""
    while isinstance(hook, Clock):
        hook = hook.hook
    inner = hook.hook if isinstance(hook, OnEpisode | OnEvaluation) else None
    if isinstance(inner, Clock | OnEpisode | OnEvaluation):
        what = "on_episode" if isinstance(hook, OnEpisode) else "on_evaluation"
        raise UserError(
            f"{what} was given what `every`, `on_episode` or `on_evaluation` returned - it calls a "
            f"function of two arguments - write every(interval, {what}(function))"
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


def _state(hook: Any, name: str) -> dict[str, Any] | None:
    if not isinstance(hook, Stateful):
        return None
    what = f"the state of the hook {name} cannot be saved"
    try:
        state = hook.state()
    except BaseException as error:
        if is_interruption(error):
            raise
        why = f"state() raised {describe_error(error)}{place_in_loaded(error) or place_of(error)}"
        raise UserError(f"{what}: {why} - fix the hook, then resume") from error
    try:
        return dict(json.loads(json.dumps(state, allow_nan=False)))
    except Exception as error:
        remedy = "return a dict of numbers, texts, lists and dicts"
        raise UserError(f"{what}: {describe_error(error)} - {remedy}") from error
