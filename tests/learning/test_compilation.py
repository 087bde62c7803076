"""The first compiled update is compared with an eager one, which replaces it if they differ."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import sympy
import torch

from footlight.learning import compilation
from footlight.learning.agent import Agent
from footlight.learning.compilation import CompilerMissing, compile_checked
from footlight.learning.first_call import first_call
from footlight.trees import tree_items

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-2, 2, (2,), np.float32)


def trained(monkeypatch: pytest.MonkeyPatch, compiler: Any = None, steps: int = 14) -> Any:
    """An agent after ten updates with this compiler, or without one, and its notices."""
    notices: list[str] = []
    if compiler is not None:
        monkeypatch.setattr("footlight.learning.compiled_updates.compile_in_place", compiler)
    agent = Agent(
        "td3", OBSERVATIONS, ACTIONS, seed=3, compile="on" if compiler else "off",
        notice=notices.append, hidden_sizes=(16,), batch_size=4, buffer_size=50, learning_starts=4,
    )  # fmt: skip
    agent.compile()
    world = np.random.default_rng(0)
    for step in range(steps):
        seen, following = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = world.uniform(-2, 2, 2).astype(np.float32)
        agent.observe(seen, action, seen.sum(), following, step % 5 == 4, False)
    return agent, notices


def numbers(agent: Agent) -> dict[str, Any]:
    return {name: leaf.tolist() for name, leaf in tree_items(agent.state).items()}


class Compiler:
    """Runs updates eagerly, and changes their results from call `wrong_from` on."""

    def __init__(self, change: Callable[[list[torch.Tensor]], None], wrong_from: int = 0) -> None:
        self.change, self.wrong_from = change, wrong_from
        self.calls = self.runs = 0

    def __call__(
        self, function: Callable[..., None], tensors: list[torch.Tensor], announce: object = None
    ) -> Callable[[], None]:
        def counted(*given: torch.Tensor) -> None:
            self.runs += 1
            function(*given)

        def step() -> None:
            self.calls += 1
            with torch.no_grad():
                counted(*tensors)
            if self.calls > self.wrong_from:
                self.change(tensors)

        return step


def raises(tensors: list[torch.Tensor]) -> None:
    raise RuntimeError("the kernel is missing")


def scales_first_parameters(tensors: list[torch.Tensor]) -> None:
    tensors[0].mul_(1.01)


def loses_one_number(tensors: list[torch.Tensor]) -> None:
    tensors[0].view(-1)[0] = float("nan")


@pytest.mark.parametrize("change", [raises, scales_first_parameters, loses_one_number])
def test_wrong_compiler_is_replaced_by_the_eager_update(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[torch.Tensor]], None]
) -> None:
    eager, _ = trained(monkeypatch)
    compiler = Compiler(change)
    agent, notices = trained(monkeypatch, compiler)
    reason = "failed (RuntimeError: the kernel" if change is raises else "differ from the eager"
    assert len(notices) == 1
    assert reason in notices[0]
    assert "\n" not in notices[0]
    assert not agent.compiled
    assert compiler.calls == 1  # of the first name; the other one is not tried any more
    assert agent.num_updates == eager.num_updates == 10
    assert numbers(agent) == numbers(eager)
    assert agent.metrics() == eager.metrics()


def test_correct_compiler_keeps_its_own_bits_and_is_compared_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def round_differently(tensors: list[torch.Tensor]) -> None:
        if compiler.calls == 1:
            tensors[0].mul_(1 + torch.finfo(torch.float32).eps)

    eager, _ = trained(monkeypatch)
    compiler = Compiler(round_differently)
    agent, notices = trained(monkeypatch, compiler)
    assert notices == []
    assert agent.compiled
    assert compiler.calls == compiler.runs == agent.num_updates
    assert numbers(agent) != numbers(eager)  # those of the compiled update


def test_eager_call_happens_once_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[object] = []

    def noted(step: Any, function: Any, tensors: Any) -> None:
        checks.append(step)
        first_call(step, function, tensors)

    monkeypatch.setattr("footlight.learning.compiled_updates.first_call", noted)
    agent, _ = trained(monkeypatch, Compiler(lambda tensors: None))
    assert len(checks) == len(set(checks)) == len(agent.algorithm.updates) == 2


@pytest.mark.parametrize("error", [1.0, 1.5])
def test_compiled_function_is_compared_at_once(
    error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(function: Any, tensors: Any, announce: Any) -> Any:
        return lambda: tensors[0].mul_(2 * error)

    monkeypatch.setattr("footlight.learning.compilation.compile_in_place", compiled)
    numbers = torch.arange(1.0, 5.0)
    if error == 1:
        compile_checked(lambda x: x.mul_(2), [numbers])()
        assert numbers.tolist() == [4, 8, 12, 16]  # once to compare, once when called
        return
    with pytest.raises(CompilerMissing, match="differ from the eager"):
        compile_checked(lambda x: x.mul_(2), [numbers])


def test_acting_that_differs_when_compiled_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(function: Any, tensors: Any, announce: Any) -> Any:
        return lambda: tensors[-1].fill_(7.0)

    monkeypatch.setattr("footlight.learning.compilation.compile_in_place", compiled)
    image, choice = (
        gymnasium.spaces.Box(0, 255, (1, 36, 36), np.uint8),
        gymnasium.spaces.Discrete(2),
    )
    notices: list[str] = []
    agent = Agent(
        "a2c", image, choice, torso="small", hidden_sizes=(8,), compile="on", notice=notices.append
    )
    agent.act(np.zeros((1, 36, 36), np.uint8), explore=True)
    assert any("acting is not compiled: the compiled results differ" in line for line in notices)
    seen = np.full((1, 36, 36), 9, np.uint8)
    eager = Agent("a2c", image, choice, torso="small", hidden_sizes=(8,), compile="off")
    assert agent.policy.act(seen) == eager.policy.act(seen)


@pytest.mark.skipif(not torch.cpu._is_avx2_supported(), reason="the processor has one vector width")
def test_code_that_was_generated_for_other_vectors_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # new: no headers precompiled

    def update(numbers: torch.Tensor, factors: torch.Tensor) -> None:
        numbers.add_((numbers * factors).tanh().sum(0) * factors)

    for capability in ("avx2", "default"):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
        tensors = [torch.linspace(-1, 1, 320).reshape(5, 64).clone() for _ in range(2)]
        compile_checked(update, tensors)()  # raises if it fails, or computes other numbers
    assert len([*tmp_path.glob("footlight/*.so")]) == 2


def test_strides_are_those_that_simplifying_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import sizevars
    from torch.utils._sympy.functions import FloorDiv, ModularIndexing

    row, column = sympy.symbols("row column", integer=True, nonnegative=True)
    indices = [
        3 * (row + 7) + 5 * column,
        17 * row + FloorDiv(column + 24, 40),
        64 * ModularIndexing(column, 1, 16) + row * (row + 3),
        FloorDiv(column, 8) + 2 * ModularIndexing(column + 8 * row, 8, 32),
    ]

    def strides() -> list[Any]:
        cached = sizevars.simplify_index_in_vec_range, sizevars.stride_at_vec_range
        for function in (*cached, sizevars.stride_at):
            function.cache_clear()
        return [
            sizevars.stride_at_vec_range(index, name, 8)
            for index in indices
            for name in (row, column)
        ]

    wanted = strides()
    with compilation._indices_expanded(), monkeypatch.context() as patch:
        patch.delattr(sympy, "simplify")
        found = strides()
    assert [sympy.simplify(one - other) for one, other in zip(found, wanted, strict=True)] == [
        0
    ] * 8
    assert found[:2] == [3, 5]
    assert sizevars.sympy is sympy


def test_table_of_types_is_made_once_and_then_as_before() -> None:
    from torch._inductor.dtype_propagation import DtypePropagationOpsHandler as Table

    made = Table.__init__
    with compilation._types_known():
        rule = Table().add  # type: ignore[attr-defined]
        assert Table().add is rule  # type: ignore[attr-defined]
    assert Table.__init__ is made
    assert Table().add is not rule  # type: ignore[attr-defined]
    assert Table().add.keywords == rule.keywords  # type: ignore[attr-defined]
