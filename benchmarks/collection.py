"""Experience from several collectors, by how long a step of the environment takes.

    python benchmarks/collection.py --peer-python PATH --output benchmarks/results/collection.txt

One environment in each collector, which waits for a step without using a core, as a simulator on
another machine does; beside it Stable-Baselines3 with one environment in each process of its
SubprocVecEnv, and the model of docs/scale.md, whose constants are measured first. `--ray` measures
collectors on a Ray of this machine, too. About 40 minutes, most of them for steps of 100 ms.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

from report import (
    HERE,
    add_peer_python,
    make_parser,
    positive_number,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

MILLISECONDS, COUNTS = (0.1, 1.0, 10.0, 100.0), (1, 2, 4)
PPO: dict[str, Any] = {
    "n_steps": 128,
    "num_epochs": 4,
    "minibatch_size": 64,
    "hidden_sizes": (64, 64),
}
PEER_PPO: dict[str, Any] = {"n_steps": 128, "n_epochs": 4, "batch_size": 64}
SAC: dict[str, Any] = {"hidden_sizes": (64, 64), "batch_size": 100, "learning_starts": 100}
PEER_SAC: dict[str, Any] = {
    "policy_kwargs": {"net_arch": [64, 64]},
    "batch_size": 100,
    "learning_starts": 100,
}
PEER_SAC |= {"train_freq": 1, "gradient_steps": -1}
CHUNK: dict[str, int] = {
    "ppo": PPO["n_steps"],
    "sac": 32,
}  # the latter is buffers.replay.CHUNK_STEPS
SECONDS = 6.0  # of a measurement at least, about


HEAD = "Environment steps per second; the peer is SB3 with SubprocVecEnv."


class Constants(NamedTuple):
    """What the model is made of, in seconds."""

    policy: float  # a decision for one environment and what is stored with it, after a wait
    message: float  # a task and its answer, per collector
    learner: float  # taking in one step
    update: float  # what is learned after one step, on average


def model(method: str, step: float, num: int, constants: Constants) -> float:
    """Environment steps per second of so many collectors with one environment each."""
    collecting = CHUNK[method] * (step + constants.policy)
    steps = num * CHUNK[method]
    learning = num * constants.message + steps * (constants.learner + constants.update)
    # On-policy methods wait for the update; others collect meanwhile
    round_seconds = collecting + learning if method == "ppo" else max(collecting, learning)
    return steps / round_seconds


def ours(method: str, step: float, num: int, how: str) -> float:
    """Steps per second of footlight: with collectors in processes, on Ray, or with none."""
    job = {"method": method, "seconds": step, "num": num, "how": how}
    return float(run_json([sys.executable, __file__, "--job", json.dumps(job)])["steps_per_second"])


def theirs(method: str, step: float, num: int, python: str) -> float:
    """Steps per second of SB3 in as many processes."""
    skipped, steps = sizes(method, step, num)
    peer = PEER_PPO if method == "ppo" else PEER_SAC
    job = {"algorithm": method, "seconds": step, "num": num, "peer": peer}
    job |= {"skipped": skipped, "steps": steps}
    done = run_json([python, HERE / "collection_peer.py", json.dumps(job)])
    return float(done["steps_per_second"])


def sizes(method: str, step: float, num: int) -> tuple[int, int]:
    """Steps before the clock starts, and in all: whole rounds."""
    per_round = num * CHUNK[method]
    first = (2 if method == "ppo" else 8) * per_round
    rounds = max(3, round(SECONDS / (CHUNK[method] * (step + 1e-3 * num))))
    return first, first + rounds * per_round


def train(job: dict[str, Any]) -> dict[str, float]:
    """What `ours` measures, in a process of its own."""
    import footlight

    source = wanted_source(job["seconds"])
    skipped, steps = sizes(job["method"], job["seconds"], job["num"])
    with environments_for(job, source) as environments:
        agent = agent_for(job["method"], environments, steps)
        if job["how"] != "none":
            environments.begin(agent)
        agent.compile()
        began, first = 0.0, 0
        for step in footlight.steps(agent, environments, steps):
            if not began and step.number >= skipped:
                began, first = time.monotonic(), step.number
        return {"steps_per_second": (agent.num_steps - first) / (time.monotonic() - began)}


def wanted_source(seconds: float) -> Any:
    """The environment as footlight takes it."""
    from waiting import Waiting

    from footlight.environments.source import EnvironmentSource

    return EnvironmentSource.of(partial(Waiting, seconds)).configured()


def environments_for(job: dict[str, Any], source: Any) -> Any:
    """What the steps are taken in, closed at the end of a `with` block."""
    import contextlib

    import footlight
    from footlight.collection.collection import Collection
    from footlight.collection.process_channel import ProcessChannel
    from footlight.environments.source import Wanted

    if job["how"] == "none":
        made: Any = footlight.make_environments(partial_of(source), num_envs=job["num"])
        return contextlib.closing(made)
    opened: Callable[..., Any] = ProcessChannel
    if job["how"] == "ray":
        ray = importlib.import_module("ray")
        from footlight.collection.actors import ActorCollectors

        ray.init(include_dashboard=False, num_cpus=5, object_store_memory=150 << 20)
        opened = ActorCollectors(ray)
    return contextlib.closing(Collection(source, Wanted(0, 1), job["num"], opened, print))


def partial_of(source: Any) -> Any:
    """The function behind a source."""
    return source.make_one


def agent_for(method: str, environments: Any, steps: int) -> Any:
    """An agent with compiled updates, on one thread."""
    import footlight

    spaces = environments.observation_space, environments.action_space
    fields: dict[str, Any] = {"ppo": PPO, "sac": SAC}[method]
    return footlight.Agent(
        method, *spaces, num_envs=environments.num_envs, total_steps=steps, compile="on",
        threads=1, **fields,
    )  # fmt: skip


def measure_constants(method: str) -> Constants:
    """The model's constants. A decision after a wait takes longer than one after another: the
    process has to wake up, and its caches are cold."""
    from footlight.collection.chunks import Task
    from footlight.collection.collection import Collection, policy_arrays
    from footlight.collection.collector import Collector
    from footlight.collection.process_channel import ProcessChannel
    from footlight.environments.source import Wanted

    wait = 1e-3
    collection = Collection(wanted_source(wait), Wanted(0, 1), 1, ProcessChannel, print)
    agent = agent_for(method, collection, 100_000)
    collection.begin(agent)
    agent.compile()
    plan = collection._plan
    assert plan is not None
    channel = ProcessChannel(plan, 0)
    collector, policy = Collector(plan, 0), policy_arrays(agent)
    size = CHUNK[method]
    tasks = [Task(0, steps, 10**6, policy, {}) for steps in (size, 1)]
    long, short = (timed(partial(collector.collect, task)) for task in tasks)

    def exchange() -> None:
        channel.ask("collect", tasks[1])
        while channel.answer(1.0) is None:
            pass

    message = timed(exchange) - short
    from footlight.collection.chunks import at_step

    chunk, updates, began = collector.collect(tasks[0]), 0.0, 0.0
    rounds, update = 40, agent.learner.update

    def timed_update(*given: Any) -> None:
        nonlocal updates
        start = time.perf_counter()
        update(*given)
        updates += time.perf_counter() - start

    agent.learner.update = timed_update
    for number in range(2 + rounds):
        if number == 2:
            updates, began = 0.0, time.perf_counter()
        for step in range(size):
            agent.learn_from(*at_step(chunk.transition, chunk.decision, step))
    learning = time.perf_counter() - began
    channel.close()
    channel.join()
    collection.close()
    each = rounds * size
    return Constants(
        (long - short) / (size - 1) - wait,
        max(0.0, message),
        (learning - updates) / each,
        updates / each,
    )


def timed(call: Callable[[], Any], repeats: int = 30) -> float:
    """The median duration of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return sorted(times)[repeats // 2]


def many(method: str, constants: Constants) -> list[list[str]]:
    """The model for up to 1,000 collectors, by milliseconds of a step."""
    rows = [["collectors", *(f"{ms:g} ms" for ms in MILLISECONDS)]]
    for num in (1, 4, 10, 30, 100, 300, 1000):
        speeds = [model(method, ms / 1e3, num, constants) for ms in MILLISECONDS]
        rows.append([f"{num:,}", *map(speed_text, speeds)])
    return rows


def part(method: str, constants: Constants, rows: list[list[str]]) -> list[str]:
    """The lines of the report about one method."""
    shown = ", ".join(f"{name} {1e6 * x:.0f} us" for name, x in constants._asdict().items())
    lines = ["", f"{method}: the model's constants: {shown}", "", *table(rows)]
    lines += ["", f"{method}: the model for many collectors", ""]
    return [*lines, *table(many(method, constants))]


def speed_text(speed: float) -> str:
    """Steps per second in three digits or more."""
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add_peer_python(parser)
    parser.add_argument("--methods", nargs="+", default=["ppo", "sac"], choices=["ppo", "sac"])
    parser.add_argument(
        "--milliseconds", nargs="+", type=positive_number, default=MILLISECONDS, metavar="MS",
        help="how long a step takes",
    )  # fmt: skip
    parser.add_argument("--ray", action="store_true", help="measure collectors on Ray, too")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure and report."""
    arguments = read_arguments()
    if arguments.job is not None:
        print(json.dumps(train(arguments.job)))
        return 0
    methods = arguments.methods
    constants = {method: measure_constants(method) for method in methods}
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    versions |= run_json([arguments.peer_python, HERE / "peers.py", "versions"])
    ways = {"collectors": "processes"} | ({"ray": "ray"} if arguments.ray else {})
    head = ["step, processes", *ways, "model", "SB3", "ratio", "one process"]
    rows = {method: [head] for method in methods}
    # Short steps first: these measurements need an idle machine
    for ms, method, num in product(arguments.milliseconds, methods, COUNTS):
        progress(f"{method}, {ms:g} ms, {num}")
        speeds = [ours(method, ms / 1e3, num, how) for how in ways.values()]
        peer = theirs(method, ms / 1e3, num, arguments.peer_python)
        alone = ours(method, ms / 1e3, num, "none")
        expected = model(method, ms / 1e3, num, constants[method])
        rows[method].append([
            f"{ms:g} ms, {num}", *map(speed_text, speeds), speed_text(expected), speed_text(peer),
            f"{speeds[0] / peer:.2f}", speed_text(alone),
        ])  # fmt: skip
        parts = [part(method, constants[method], rows[method]) for method in methods]
        lines = [HEAD, *chain(*parts), "", *provenance(versions)]
        if arguments.output is not None:  # what there is so far
            arguments.output.write_text("\n".join(lines) + "\n")
    publish(lines, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
