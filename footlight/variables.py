"""Temporary environment variables for libraries that read them."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def default_variables(**values: str) -> Iterator[None]:
    """Set those environment variables that are not set, and remove them at the end of the block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
