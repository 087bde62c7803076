"""How hooks of the user's own are called: what can be one, its name, its errors, its end."""

import functools
import inspect
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch

from footlight.errors import UserError, describe_error, place_of
from footlight.signals import is_interruption
from footlight.training.hook_context import HookContext
from footlight.user_code.reference import place_in_loaded

UserHook = Callable[..., object]


class HookFailed(UserError):
    """A hook raised an exception between two steps: the state of the training is intact."""


class GuardedHook:
    """A hook as it is called: its errors name it, and the training is as it was afterwards."""

    def __init__(self, hook: UserHook, name: str) -> None:
        self._hook, self._name = hook, name

    def __call__(self, training: HookContext, *given: Any) -> None:
        """Call the hook. Raises `HookFailed`, or `UserError` if it has made the loop's calls."""
        session, threads = training._session, torch.get_num_threads()
        interruption, agent = session.interruption, session.agent
        buffer, learner = agent.buffer, agent.learner  # short ways, as it is called at every step
        num_steps, num_updates = buffer.num_steps, learner.num_updates
        interruption.num_calls += 1
        interruption.running = self._name
        try:
            self._hook(training, *given)
        except BaseException as error:  # SystemExit included, which would end the program
            interruption.running = None
            self._end(training, error)
        finally:
            interruption.running = None
            if torch.get_num_threads() != threads:  # another number rounds differently
                torch.set_num_threads(threads)
        has_learned = num_steps != buffer.num_steps or num_updates != learner.num_updates
        if agent.pending is not None or has_learned:
            raise UserError(
                f"the hook {self._name} has used the agent to explore or to learn, which the "
                "loop does - use agent.policy.act, or a loop of your own over footlight.steps"
            )

    def _end(self, training: HookContext, error: BaseException) -> None:
        """End the run: raise `HookFailed`, or return if a signal has interrupted the hook."""
        session = training._session
        at = f"at step {training.step:,}"
        if is_interruption(error):
            if session.interruption.at_once:
                raise error
            session.interruption.stop_because_of(error)
            session.mark_not_reproducible(f"the hook {self._name} was interrupted {at}")
            return
        # What it and the hooks after it would have made of this step is missing from now on
        session.mark_not_reproducible(f"the hook {self._name} failed {at}")
        where = place_in_loaded(error) or place_of(error)
        what = f"the hook {self._name} failed {at}: {describe_error(error)}{where}"
        raise HookFailed(f"{what} - the run is saved; fix the hook, then resume") from error


def require_hook(hook: Any) -> None:
    """Raise `UserError` for anything that would do nothing when it is called as a hook."""
    if not callable(hook):
        raise UserError(f"{hook!r:.80} is not a hook - give a function of one argument")
    name = name_of_hook(hook)
    if isinstance(hook, type):
        raise UserError(f"the hook {name} is a class - an object of it is needed - write {name}()")
    function = _function_of(hook)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise UserError(
            f"the hook {name} is an async function - calling it runs nothing of it - write "
            "`def` instead of `async def`"
        )
    if inspect.isgeneratorfunction(function):
        raise UserError(
            f"the hook {name} has a `yield` - calling it runs nothing of it - write a function "
            "without, which is called at each step"
        )


def name_of_hook(hook: Any) -> str:
    """The name of a hook in messages and checkpoints: its function's, or its class's."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    if isinstance(hook, FunctionType | MethodType | BuiltinFunctionType | type):
        return hook.__qualname__.rpartition("<locals>.")[-1]
    return type(hook).__name__


def _function_of(hook: Any) -> Any:
    """The function that runs when a hook is called."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    is_function = isinstance(hook, FunctionType | MethodType | BuiltinFunctionType)
    return hook if is_function else type(hook).__call__
