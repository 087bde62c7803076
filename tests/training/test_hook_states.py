"""States of hooks: found by name when a run is resumed, and errors of the user's that name them."""

from collections.abc import Mapping
from typing import Any

import pytest

from footlight.errors import UserError
from footlight.training.hook_context import HookContext
from footlight.training.user_hooks import UserHooks


class Counter:
    """A hook with a state."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, training: HookContext) -> None: ...

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


class Another(Counter):
    """A hook of another name."""


def function(training: HookContext) -> None: ...


@pytest.mark.parametrize(
    "given",
    [
        lambda: [Another(), Counter(), Counter()],
        lambda: [function, Counter(), Counter(), Another()],
        lambda: [Counter(), Counter(), Another(), Counter()],
        lambda: [Counter(), Counter()],
    ],
)
def test_states_are_found_by_name_on_resume(given: Any) -> None:
    first = [Counter(), Another(), Counter()]
    for number, hook in enumerate(first):
        hook.count = 10 + number
    saved = UserHooks(first).state()
    hooks = given()
    UserHooks(hooks).restore(saved)
    counts = [hook.count for hook in hooks if type(hook) is Counter]
    assert counts[:2] == [10, 12]
    assert counts[2:] in ([], [0])
    assert all(hook.count == 11 for hook in hooks if type(hook) is Another)


@pytest.mark.parametrize("error", [OSError("no disk"), SystemExit(3)])
def test_state_and_restore_that_raise_name_the_hook(error: BaseException) -> None:
    class Odd(Counter):
        def state(self) -> Any:
            raise error

        def restore(self, state: Mapping[str, Any]) -> None:
            raise error

    name = type(error).__name__
    with pytest.raises(UserError, match=rf"hook Odd cannot be saved: state\(\) raised {name}"):
        UserHooks([Odd()]).state()
    with pytest.raises(UserError, match=f"restore of the hook Odd raised {name}"):
        UserHooks([Odd()]).restore({"hooks": [{"name": "Odd", "state": {}}]})
