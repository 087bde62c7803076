"""Why a plain actor-critic with replay collapses, and what prevents it, one change at a time.

    python benchmarks/collapse.py --steps 60000 --seeds 5 \
        --output benchmarks/results/replay-actor-critic-collapse.txt

The environment is CartPole-v1. The first row is a known failure: its critic never learned, because
its replay was emptied at every update and so never held a minibatch; its actor maximized Q(s, a) of
the actions it took; there was no entropy bonus. Each row below fixes one more of these.
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from report import (
    HERE,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

Fields = dict[str, Any]
PLAIN: Fields = {
    "gamma": 0.995,
    "learning_rate": 5e-4,
    "critic_learning_rate": 1e-12,
    "n_steps": 16,
    "batch_size": 64,
    "buffer_size": 50_000,
    "learning_starts": 64,
    "critic_updates_per_actor": 4,
    "tau": None,
    "actor_signal": "q",
    "entropy_coef": 0.0,
    "max_grad_norm": None,
    "shared_torso": False,
    "initialization": "pytorch",
    "layer_norm": False,
}
CHANGES: dict[str, Fields] = {
    "the original: a critic that never learns": {},
    "the critic learns": {"critic_learning_rate": None},
    "layer normalization": {"layer_norm": True},
    "the actor maximizes A(s, .) instead of Q(s, a)": {"actor_signal": "advantage"},
    "an entropy bonus": {"entropy_coef": 0.01},
    "a target network, gamma 0.99, gradients clipped at 10": {
        "tau": 0.005,
        "gamma": 0.99,
        "max_grad_norm": 10.0,
    },
    "16 minibatches per rollout instead of 4": {"critic_updates_per_actor": 16},
    "one torso for both, orthogonal weights": {
        "shared_torso": True,
        "initialization": "orthogonal",
    },
    "the learning rate decays to 0 over the run": {"learning_rate_schedule": "linear"},
    "gradients are not clipped": {"max_grad_norm": None},
}


def train(fields: Fields, steps: int, seed: int) -> Fields:
    """One run: mean return of the last evaluation, lowest logged entropy, mean Q at the end."""
    import footlight

    with tempfile.TemporaryDirectory() as folder:
        run = footlight.train(
            "replay-actor-critic",
            "CartPole-v1",
            preset=False,
            steps=steps,
            seed=seed,
            run_dir=Path(folder) / "run",
            quiet=True,
            eval_every=0,
            threads=1,
            **fields,
        )
        lines = [
            json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()
        ]
        assert run.result is not None
        final = run.result["final_evaluation"]["mean_return"]
    return {
        "return": final,
        "entropy": min(line["entropy"] for line in lines),
        "q": lines[-1]["q_mean"],
    }


def main() -> int:
    """All rows, all seeds."""
    parser = make_parser(__doc__)
    parser.add_argument("--steps", type=positive, default=100_000)
    parser.add_argument("--seeds", type=positive, default=5, help="seeds 1 to N")
    arguments = parser.parse_args()
    first = "each row with all changes above it"
    rows = [[first, "final return by seed", "mean", "lowest entropy", "Q"]]
    fields = dict(PLAIN)
    for name, change in CHANGES.items():
        fields |= change
        runs = [train(fields, arguments.steps, seed) for seed in range(1, arguments.seeds + 1)]
        returns, entropies, values = (
            [run[key] for run in runs] for key in ("return", "entropy", "q")
        )
        shown = " ".join(f"{value:.0f}" for value in returns)
        rows.append(
            [name, shown, f"{fmean(returns):.0f}", f"{min(entropies):.2g}", f"{fmean(values):.3g}"]
        )
        progress(" | ".join(rows[-1]))
    lines = [
        f"replay-actor-critic on CartPole-v1, {arguments.steps:,} steps: final deterministic "
        "evaluation, 20 episodes.",
        "lowest entropy: of a log line of any seed, in nats (log 2 is 0.69); Q: mean over the last "
        "log line, discounted return.",
        "",
        *table(rows),
        "",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]
    publish(lines, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
