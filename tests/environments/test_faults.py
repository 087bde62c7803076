"""Errors of an environment's own code outside of episodes."""

import pytest

from footlight.environments.faults import as_fault
from footlight.errors import EnvironmentFault, UserError


@pytest.mark.parametrize("error", [ValueError("no screen"), SystemExit("no screen")])
def test_exception_becomes_a_fault(error: BaseException) -> None:
    message = rf"render raised {type(error).__name__}: no screen - fix the environment"
    with pytest.raises(EnvironmentFault, match=message) as raised, as_fault("render"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("error", [UserError("no such id"), KeyboardInterrupt()])
def test_own_errors_and_interruptions_are_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, as_fault("render"):
        raise error
    assert raised.value is error


def test_result_of_a_block_without_error() -> None:
    with as_fault("render"):
        image = 3
    assert image == 3
