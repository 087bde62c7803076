"""Validate what `step` and `reset` return; name Gym's old interface and common mistakes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from footlight.errors import RemoteError, message_of

_OLD = "as in Gym's interface before version 0.26"
_STEP = "return observation, reward, terminated, truncated, info"
_RESET = "return observation, info"
_GYMNASIUM = str(Path(gymnasium.__file__).parent)


class InterfaceError(RemoteError):
    """A violation of Gymnasium's interface, with its remedy."""

    def __str__(self) -> str:
        return str(self.args[0])


def step_answer(answer: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The five values of a step. Raises `InterfaceError`."""
    if not isinstance(answer, tuple | list):
        raise InterfaceError(f"step returned {_kind(answer)}", _STEP)
    if len(answer) == 4:
        raise InterfaceError(
            f"step returned 4 values (observation, reward, done, info), {_OLD}",
            f"{_STEP}: five values",
        )
    if len(answer) != 5:
        raise InterfaceError(f"step returned {len(answer)} values instead of 5", _STEP)
    if not isinstance(answer[4], Mapping):
        raise InterfaceError(
            f"step returned {_kind(answer[4])} as its info", "return a dict, {} if it is empty"
        )
    observation, reward, terminated, truncated, info = answer
    return observation, reward, terminated, truncated, info


def reset_answer(answer: Any) -> tuple[Any, Any]:
    """Observation and info of a reset. Raises `InterfaceError`."""
    if isinstance(answer, tuple | list) and len(answer) == 2:
        if isinstance(answer[1], Mapping):
            return answer[0], answer[1]
        # A pair of numbers is an observation
        if not isinstance(answer[1], int | float | np.number):
            raise InterfaceError(
                f"reset returned {_kind(answer[1])} as its info", "return a dict, {} if it is empty"
            )
    if answer is None:
        raise InterfaceError("reset returned None", _RESET)
    raise InterfaceError(f"reset returned {_kind(answer)} alone, {_OLD}", f"{_RESET}: two values")


def as_flag(name: str, value: Any) -> bool:
    """`terminated` or `truncated` as a bool. Raises `InterfaceError` for anything else."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise InterfaceError(f"step returned {_kind(value)} as {name}", "return True or False")
    return bool(array.reshape(())[()])


def old_interface(method: str, error: BaseException) -> InterfaceError | None:
    """The violation behind an exception, if Gym's old interface caused it; otherwise None."""
    if isinstance(error, InterfaceError):
        return error
    message = message_of(error)
    if isinstance(error, TypeError) and re.search(
        r"reset\(\) got an unexpected keyword argument '(seed|options)'", message
    ):
        signature = "reset(self, *, seed=None, options=None)"
        remedy = f"define {signature}, and call super().reset(seed=seed) in it"
        return InterfaceError(f"reset takes no seed, {_OLD}", remedy)
    unpacking = re.match(r"(?:not enough|too many) values to unpack \(expected (\d)", message)
    # Raised by a wrapper, such as TimeLimit
    if isinstance(error, ValueError) and unpacking and _in_gymnasium(error):
        if method == "step" and unpacking[1] == "5":
            got = re.search(r"got (\d+)", message)
            return InterfaceError(
                f"step returned {got[1] if got else 'more than 5'} values, {_OLD}",
                f"{_STEP}: five values",
            )
        if method == "reset" and unpacking[1] == "2":
            what = f"reset returned an observation alone, {_OLD}"
            return InterfaceError(what, f"{_RESET}: two values")
    return None


def _in_gymnasium(error: BaseException) -> bool:
    """Whether `error` was raised in Gymnasium's code rather than in the environment's."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_GYMNASIUM)


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, bool | int | float | str | np.number):
        return f"{value!r:.40}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
