"""What the measurements of a machine decide, with updates whose speed the test says."""

from typing import Any

import pytest

from footlight.config.schema import violations
from footlight.config.tuning import Saved, Tuning, rule
from footlight.errors import UserError
from footlight.instruments import tune
from footlight.instruments.tune import Size, gains, measure

CORES = 4
SIZES = (Size(64, 100), Size(128, 256), Size(256, 256), Size(512, 256))


class Simulated:
    """An update that takes `seconds_of` seconds."""

    def __init__(self, size: Size, threads: int, how: Tuning, precision: str = "fp32") -> None:
        self.given = size, threads, how, precision
        self.multiplications = size.batch_size * size.width**2 * 3

    def seconds(self) -> float:
        size, threads, how, precision = self.given
        seconds = float(size.product)
        if size.width >= Machine.threads_pay_from:
            seconds /= min(threads, Machine.useful_threads)
        else:
            seconds *= threads
        if how.onednn_from is not None and size.product >= how.onednn_from:
            seconds /= Machine.onednn_gain
        return seconds / (Machine.bf16_gain if precision == "bf16" else 1)


class Machine:
    threads_pay_from, useful_threads, onednn_gain, bf16_gain = 256, CORES, 1.0, 1.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(tune, "Update", Simulated)
    monkeypatch.setattr(tune, "all_cores", lambda: CORES)
    monkeypatch.setattr(tune, "rule", lambda: Tuning(((20_000_000, CORES),), None))
    return monkeypatch


def measured() -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    return measure(lines.append, SIZES), lines


def test_rule_that_is_right_is_kept(machine: pytest.MonkeyPatch) -> None:
    content, lines = measured()
    assert not list(violations(content, Saved))
    assert content["threads"] == [[20_000_000, CORES]]
    assert content["onednn_from"] is None
    assert lines == content["measured"]
    assert lines[2] == (
        "SAC 2x256, batch 256: updates per second against 1 thread: 1 thread 1.00, 2 threads 2.00, "
        "4 threads 4.00; the rule (4 threads) is right"
    )
    assert lines[-1].endswith("1.00; not worth it on this machine")


def test_threads_that_are_better_than_those_of_the_rule_are_chosen(
    machine: pytest.MonkeyPatch,
) -> None:
    machine.setattr(Machine, "useful_threads", 2)  # of four: two cores with two threads each
    machine.setattr(Machine, "threads_pay_from", 128)
    content, lines = measured()
    sizes = [Simulated(size, 1, rule()).multiplications for size in SIZES]
    # 2 threads are as fast as 4, so the rule's stay where it has more than one
    assert content["threads"] == [[sizes[1], 2], [sizes[2], 4]]
    assert lines[1].endswith("2 threads instead of the rule's 1 thread")


def test_onednn_is_used_from_the_smallest_size_at_which_it_is_faster(
    machine: pytest.MonkeyPatch,
) -> None:
    machine.setattr(Machine, "onednn_gain", 1.5)
    content, _ = measured()
    assert content["onednn_from"] == SIZES[1].product
    machine.setattr(tune, "rule", lambda: Tuning((), 4_000_000))
    assert measured()[0]["onednn_from"] == 4_000_000, "the rule's own value where it is right"
    machine.setattr(Machine, "onednn_gain", 0.7)
    assert measured()[0]["onednn_from"] is None


def test_gains_are_ratios_within_rounds() -> None:
    class Drifting:
        factor, now = 1.0, 1.0

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def seconds(self) -> float:
            return self.factor * Drifting.now

    first: Any = Drifting(6.0)
    assert gains(first, [Drifting(2.0), Drifting(12.0)]) == [3.0, 0.5]  # type: ignore[list-item]


def test_a_real_update_is_measured() -> None:
    update = tune.Update(Size(8, 8), 1, rule())
    assert update.multiplications > 1_000
    assert 0 < update.seconds() < 1


def test_without_a_compiler_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="updates cannot be compiled here"):
        tune.Update(Size(9, 9), 1, rule())
