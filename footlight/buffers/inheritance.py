"""Taking over the transitions of another run's replay buffer, which may be of another size.

The new run counts its own steps and draws from 0. Steps that waited for their n-th reward are
dropped: their episodes end with the other run.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from footlight.buffers.memory import fill
from footlight.errors import UserError

if TYPE_CHECKING:
    from footlight.buffers.frames import FrameReplay
    from footlight.buffers.replay import Replay


def take_over_rows(buffer: "Replay", arrays: Mapping[str, Any], counters: Mapping[str, Any]) -> int:
    """Hold the newest rows of `arrays()` and `counters()` of another buffer; return their number.

    Raises `ValueError` if they are of other spaces.
    """
    written, held = int(counters["num_rows"]), _length(arrays["rows.reward"])
    kept = min(held, buffer.capacity)
    fits_as_it_is = held <= buffer.capacity and held in (written, buffer.capacity)
    # Row n of all that were ever written is at n % held
    newest = (written - kept + np.arange(kept)) % max(held, 1)
    for name, rows in buffer._rows._asdict().items():
        saved = arrays[f"rows.{name}"]
        if fits_as_it_is:
            fill(rows[:held], saved)
        else:
            all_rows = np.empty((held, *rows.shape[1:]), rows.dtype)
            fill(all_rows, saved)
            rows[:kept] = all_rows[newest]
    buffer.num_rows = written if fits_as_it_is else kept
    return kept


def take_over_frames(
    buffer: "FrameReplay", arrays: Mapping[str, Any], counters: Mapping[str, Any]
) -> int:
    """Hold the frames of `arrays()` of another buffer; return the number of transitions.

    Raises `UserError` if its rings are larger or smaller, where they are full.
    """
    try:
        for count, saved in zip(buffer._counts(), arrays["counts"], strict=True):
            fill(count, saved)
        for name, filled in buffer._filled().items():
            fill(filled, arrays[name])
    except (ValueError, LookupError) as error:
        raise UserError(
            "the frames of the other buffer do not fit - each environment has its own part of "
            f"buffer_size: {error} - give buffer_size and num_envs as there"
        ) from error
    buffer._started[:] = buffer._complete
    return len(buffer)


def _length(saved: Any) -> int:
    """The number of rows in an array, or in an iterable of its consecutive parts."""
    parts: Iterable[Any] = (saved,) if isinstance(saved, np.ndarray) else saved
    return sum(len(part) for part in parts)
