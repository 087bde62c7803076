"""Checks of the policy: each fault is among the first two findings."""

import pytest
from doctor_runs import FLAT, NUM_ROWS, Fault, named, rows_of, run

FAULTS: dict[str, list[Fault]] = {
    "entropy-collapsed": [
        lambda: run(FLAT, relative_entropy=0.01),
        lambda: run(FLAT, relative_entropy=[0.9 - 0.1 * i for i in range(NUM_ROWS)]),
        lambda: run(config={"learn_alpha": False, "initial_alpha": 1e-6}),
    ],
    "entropy-too-high": [lambda: run(FLAT, {"learn_alpha": False}, relative_entropy=0.99)],
    "policy-saturated": [lambda: run(FLAT, action_saturation=0.97)],
    "policy-against-critic": [lambda: run(policy_preferred=0.1)],
    "entropy-off-target": [lambda: run(FLAT, entropy_gap=-3.0)],
    "policy-constant": [lambda: run(FLAT, action_variation=0.001)],
    "actions-not-rescaled": [
        lambda: run(action_scale=0.5),
        lambda: run(action_range=0.5),
    ],
    "policy-moves-too-far": [
        lambda: run(metrics=rows_of(critic_loss=1.0, approx_kl=0.3, clip_fraction=0.4)),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())


@pytest.mark.parametrize("config", [{"learn_alpha": True}, {"entropy_coef": 0.0}])
def test_randomness_without_a_bonus_is_no_cause(config: dict[str, object]) -> None:
    assert named(run(FLAT, config, relative_entropy=0.99)) == ["does-not-learn"]
