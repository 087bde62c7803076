"""What tests of environments share."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import pytest


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """`gymnasium.register` that is undone."""
    before = set(gymnasium.registry)

    def under(name: str, entry_point: Any, **more: Any) -> str:
        gymnasium.register(name, entry_point, **more)
        return name

    yield under
    for name in set(gymnasium.registry) - before:
        del gymnasium.registry[name]
