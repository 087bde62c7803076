"""Steps per second with the networks on a GPU, in eight minutes, and checks of what they compute.

    python benchmarks/gpu.py --output benchmarks/results/gpu.txt

Each work trains for a few seconds, past its warm-up, with the networks on the CPU (compiled), on
the GPU operation by operation, and on the GPU with each update as one CUDA graph. Before that, both
ways of the GPU are compared with each other, and a saved agent with one that was loaded.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from report import (
    make_parser,
    positive_number,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

import footlight
from footlight.learning.agent import Agent
from footlight.trees import tree_items

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))  # CartPole in torch is there

LARGE = {"hidden_sizes": (256, 256), "batch_size": 256, "learning_starts": 1_000}
GAMES = {"num_envs": 8, "n_steps": 128, "minibatch_size": 256}
MANY = {"num_envs": 4_096, "n_steps": 16, "minibatch_size": 16_384, "num_epochs": 4}
WORKS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "sac-cheetah": ("sac", "HalfCheetah-v5", LARGE),
    "td3-cheetah": ("td3", "HalfCheetah-v5", LARGE),
    "ppo-breakout": ("ppo", "ALE/Breakout-v5", GAMES),
    "ppo-cartpole": ("ppo", "tensors", MANY),
}
"""By name: algorithm, environment and fields; tensors: CartPole in torch, on the same device."""
WAYS = {"CPU": ("cpu", "on"), "GPU, eager": ("cuda", "off"), "GPU, graph": ("cuda", "on")}
SPACES = gymnasium.spaces.Box(-1, 1, (17,), np.float32), gymnasium.spaces.Box(-1, 1, (6,))


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    names = ", ".join(WORKS)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"which of {names} (default: all)")
    seconds = "seconds of each measurement (default: 20)"
    parser.add_argument("--seconds", type=positive_number, default=20.0, metavar="S", help=seconds)
    parser.add_argument("--ways", nargs="+", default=[*WAYS], choices=WAYS, help="default: all")
    arguments = parser.parse_args()
    if unknown := {*arguments.works} - {*WORKS}:
        parser.error(f"unknown work {', '.join(sorted(unknown))} - known are {names}")
    return arguments


def environments(name: Any, device: str, num_envs: int) -> Any:
    """Environments that have been reset."""
    if name != "tensors":
        return footlight.make_environments(name, num_envs)
    made = importlib.import_module("tensor_environments").CartPole(num_envs, device)
    return footlight.make_environments(made, num_envs)


def rate(name: str, way: str, seconds: float) -> float:
    """Environment steps per second of one work in one way."""
    (algorithm, environment, fields), (device, mode) = WORKS[name], WAYS[way]
    fields = dict(fields)
    envs = environments(environment, device, fields.pop("num_envs", 1))
    options: dict[str, Any] = {"seed": 0, "device": device, "compile": mode, **fields}
    spaces = envs.observation_space, envs.action_space
    agent = footlight.Agent(
        algorithm, *spaces, num_envs=envs.num_envs, total_steps=10**9, **options
    )
    began, first, updates = 0.0, 0, 0
    try:
        for step in footlight.steps(agent, envs):
            now = time.perf_counter()
            if not began and agent.num_updates >= 20:
                began, first, updates = now, step.number, agent.num_updates
            # On-policy algorithms collect for long and then update: whole cycles are counted
            elif began and now - began >= seconds and agent.num_updates > updates:
                return (step.number - first) / (now - began)
            if mode == "on" and agent.num_updates and not agent.compiled:
                return float("nan")
    finally:
        envs.close()
    raise AssertionError("the loop ended")


def fed(agent: Agent, steps: int, seed: int) -> Agent:
    """The agent after transitions that the seed determines."""
    random = np.random.default_rng(seed)
    for _ in range(steps):
        seen, following = random.uniform(-1, 1, (2, 17)).astype(np.float32)
        action = random.uniform(-1, 1, 6).astype(np.float32)
        agent.observe(seen, action, float(random.normal()), following, False, False)
    return agent


def new_agent(mode: str, device: str) -> Agent:
    """A small SAC agent."""
    given: dict[str, Any] = {"hidden_sizes": (64, 64), "learning_starts": 50, "total_steps": 10_000}
    return footlight.Agent("sac", *SPACES, seed=0, device=device, compile=mode, **given)


def graph_against_eager(device: str) -> str:
    """How far the state of a graph is from that of eager updates, relative to its size."""
    agents = [fed(new_agent(mode, device), 150, 1) for mode in ("on", "off")]
    both = [tree_items(agent.learner.state) for agent in agents]
    ratios = [
        float((one - both[1][name]).norm() / (both[1][name].norm() + 1e-12))
        for name, one in both[0].items()
        if one.is_floating_point()
    ]
    return f"after 100 updates of SAC, a graph differs from eager updates by {max(ratios):.1e}"


def loaded_against_saved(device: str) -> str:
    """Whether a saved and loaded agent goes on with the same bits."""
    mode: Any = "on" if device == "cuda" else "off"
    agent = fed(new_agent(mode, device), 120, 1)
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder) / "agent")
        again = Agent.load(Path(folder) / "agent", device=device, total_steps=10_000)
    first, second = (tree_items(fed(each, 80, 2).learner.state) for each in (agent, again))
    equal = all(torch.equal(leaf, second[name]) for name, leaf in first.items())
    return f"a saved and loaded agent continues with {'the same' if equal else 'OTHER'} bits"


CHECKS: tuple[Callable[[str], str], ...] = (graph_against_eager, loaded_against_saved)


def main() -> int:
    """Check, measure and report."""
    arguments = read_arguments()
    needs_gpu = any(WAYS[way][0] == "cuda" for way in arguments.ways)
    if needs_gpu and not torch.cuda.is_available():
        sys.exit("error: there is no GPU - this measures one - or name --ways CPU")
    device = "cuda" if needs_gpu else "cpu"
    checks = [check(device) for check in CHECKS]
    rows = [["environment steps per second", *arguments.ways]]
    for name in arguments.works or WORKS:
        cells = []
        for way in arguments.ways:
            cells.append(f"{rate(name, way, arguments.seconds):,.0f}")
            progress(f"{name}, {way}: {cells[-1]} steps/s")
        rows.append([name, *cells])
    gpu = torch.cuda.get_device_name() if needs_gpu else "none"
    lines = [
        f"One run each, of {arguments.seconds:g} s after 20 updates. nan: not compiled.",
        *checks,
        "",
        *table(rows),
        "",
        f"GPU       {gpu}",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]
    publish(lines, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
