"""Updates as CUDA graphs: what a capture leaves behind, and, on a GPU, equal numbers."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from footlight.algorithms import ALGORITHMS
from footlight.learning.agent import Agent
from footlight.learning.compilation import compile_in_place
from footlight.learning.compiler_cache import CompilerMissing
from footlight.learning.cuda_graph import WARM_UPS, captured
from footlight.trees import tree_items
from tolerance import assert_close

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Stream:
    def wait_stream(self, other: "Stream") -> None:
        pass


class Graph:
    """Keeps what was called inside `capturing`, as a graph keeps kernels."""

    def replay(self) -> None:
        self.function()

    def __init__(self) -> None:
        self.function: Callable[[], None] = lambda: None


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.cuda as far as a capture needs it, on the CPU; returns what happens, in order."""
    events: list[str] = []

    @contextlib.contextmanager
    def on(name: str) -> Iterator[None]:
        events.append(f"begin {name}")
        yield
        events.append(f"end {name}")

    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "CUDAGraph": Graph,
        "stream": lambda side: on("stream"),
        "graph": lambda graph: on("graph"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return events


def test_capture_warms_up_on_a_stream_of_its_own_and_changes_nothing(simulated: list[str]) -> None:
    value, seen = torch.tensor([1.0]), list[float]()

    def double(tensor: torch.Tensor) -> None:
        simulated.append("call")
        seen.append(float(tensor))
        if seen == [1.0, 2.0, 4.0, 1.0]:
            return  # a capture does not compute
        tensor.mul_(2)

    captured(double, [value])
    assert simulated == [
        "begin stream", *["call"] * WARM_UPS, "end stream", "begin graph", "call", "end graph",
    ]  # fmt: skip
    assert value.item() == 1.0


def test_tensors_are_restored_after_an_update_that_cannot_be_captured(
    simulated: list[str],
) -> None:
    value = torch.tensor([1.0])

    def fails(tensor: torch.Tensor) -> None:
        tensor.mul_(2)
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        captured(fails, [value])
    assert value.item() == 1.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_failed_capture_is_a_missing_compiler() -> None:
    class OnGpu:
        device = torch.device("cuda")

        def clone(self) -> Any:
            return self

    with pytest.raises(CompilerMissing, match="no CUDA graph"):
        compile_in_place(lambda tensor: None, [OnGpu()])  # type: ignore[list-item]


class Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects operations that a graph cannot hold: they wait for the device, or read a tensor that
    is not on it. Tensors on "meta" stand in for those on a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        waits = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"}
        if operation.name() in waits:
            self.found.append(f"{operation} waits")
        result = operation(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        # A number from the host may be an argument of a kernel, but cannot be copied
        copies = operation.name() in {"aten::_to_copy", "aten::copy_"}
        if {x.device.type for x in [*given, *made] if x.ndim or copies} == {"cpu", "meta"}:
            self.found.append(f"{operation} reads {[(x.device.type, *x.shape) for x in given]}")
        return result


FIELDS: dict[str, dict[str, Any]] = {
    "sac quantile": {"critic": "quantile"},
    "sac categorical": {"critic": "categorical"},
    "td3 lap": {"prioritization": "lap"},
    "sac proportional": {"prioritization": "proportional"},
    "sac dropout": {"dropout": 0.1, "norm": "layer"},
    "td3 batch-renorm": {"norm": "batch-renorm", "target_network": False},
    "sac residual": {"body": "residual", "norm": "rms", "unit_weights": "hidden"},
    "sac adamw": {"optimizer": "adamw", "weight_decay": 0.1, "max_grad_norm": 0.5},
    "ddpg normalized": {"normalize_observations": True, "normalize_rewards": True},
    "td7 decay": {"weight_decay": 0.1},
    "replay-actor-critic decay": {"weight_decay": 0.1, "critic_learning_rate": 1e-3},
    "ppo spo": {"objective": "spo"},
}


@pytest.mark.parametrize("kind", [*ALGORITHMS, *FIELDS])
def test_updates_stay_on_the_device(kind: str) -> None:
    name, fields = kind.split()[0], FIELDS.get(kind, {})
    seen = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    acted: Any = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    if name in ("sac-discrete", "replay-actor-critic"):
        acted = gymnasium.spaces.Discrete(3)
    fields = {"hidden_sizes": (8, 8), "total_steps": 100, **fields}
    agent = Agent(name, seen, acted, compile="off", **fields)
    for each in agent.algorithm.updates:
        update, tensors = agent.learner._bind(each)
        stand_ins = [tensor.to("meta") for tensor in tensors]
        with torch.no_grad(), Elsewhere() as elsewhere:
            update(*stand_ins)
        assert not elsewhere.found


def test_transfers_from_the_host_are_detected() -> None:
    rows = torch.zeros(4, 2, device="meta")
    with pytest.raises(RuntimeError, match="item"), Elsewhere() as elsewhere:
        float((rows * torch.ones(2).to("meta")).sum())
    assert len(elsewhere.found) == 2


def fed(algorithm: str, compile_mode: Any, steps: int) -> Agent:
    seen = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    acted: Any = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    agent = Agent(
        algorithm, seen, acted, seed=0, device="cuda", compile=compile_mode, total_steps=steps,
        notice=pytest.fail,
    )  # fmt: skip
    random = np.random.default_rng(0)
    observation = random.uniform(-1, 1, 3).astype(np.float32)
    for _ in range(steps):
        following = random.uniform(-1, 1, 3).astype(np.float32)
        agent.observe(
            observation, agent.act(observation), float(random.normal()), following, False, False
        )
        observation = following
    return agent


@NEEDS_GPU
@pytest.mark.parametrize("algorithm", ["sac", "td3", "a2c", "ppo"])
def test_graph_computes_what_the_eager_update_does(algorithm: str) -> None:
    steps = {"sac": 150, "td3": 150, "a2c": 60, "ppo": 2_048}[algorithm]
    graph, eager = fed(algorithm, "on", steps), fed(algorithm, "off", steps)
    assert graph.compiled
    assert graph.num_updates == eager.num_updates > 0
    wanted = tree_items(eager.learner.state)
    for name, leaf in tree_items(graph.learner.state).items():
        assert_close(leaf.cpu(), wanted[name].cpu(), terms=1_000, depth=100)
