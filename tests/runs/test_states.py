"""The words of `footlight runs` and `footlight clean`."""

from typing import get_args

from footlight.runs.states import KINDS, STATES, Kind
from footlight.storage.schemas import Ending


def test_every_kind_is_explained() -> None:
    assert get_args(Kind) == (*KINDS,)


def test_every_status_of_a_result_is_a_state() -> None:
    assert {*get_args(Ending.__annotations__["status"])} < {*STATES}
