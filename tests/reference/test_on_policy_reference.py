"""The on-policy algorithms against their reference implementations: equal after every update.

Both follow the same run, the library in its own classes and the reference with its own parameters
and optimizer, from the same initial parameters. Each case also names a change to the reference, an
option or a misreading of the history, that the comparison has to notice by a wide margin: so the
option has an effect in this run, and the tolerance hides nothing.
"""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from impala import IMPALA
from on_policy import A2C, PPO, OneStepActorCritic, Reference, Reinforce
from on_policy_cases import CASES, COMMON, DEFAULTS, Case
from on_policy_history import History, history_of
from on_policy_parts import Spaces
from recorder import OBSERVATION_SIZE, Recording, Update, record
from stream_and_replay import ReplayActorCritic, StreamAC, sampled

from tolerance import rounding_error

REFERENCES: dict[str, type[Reference]] = {
    "a2c": A2C,
    "impala": IMPALA,
    "ppo": PPO,
    "reinforce": Reinforce,
    "actor-critic": OneStepActorCritic,
    "stream-ac": StreamAC,
    "replay-actor-critic": ReplayActorCritic,
}
SPACES = {
    "box": Spaces(OBSERVATION_SIZE, num_actions=2),
    "discrete": Spaces(OBSERVATION_SIZE, sizes=(3,)),
    "multi-discrete": Spaces(OBSERVATION_SIZE, sizes=(2, 3)),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters_equal_the_references_after_every_update(case: Case) -> None:
    recording, history = run(case)
    assert len(recording.updates) >= 3
    assert not all(same(update) for update in recording.updates)
    assert largest_difference(case, recording, history) <= allowed_difference(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_reference_is_noticed(case: Case) -> None:
    recording, history = run(case)
    if isinstance(case.wrong, dict):
        recording = with_options(recording, case.wrong)
    else:
        history = case.wrong(history)
    assert largest_difference(case, recording, history) > 1000 * allowed_difference(case)


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_parameters_equal_the_references_in_float32(algorithm: str) -> None:
    options: dict[str, Any] = {"double": False}
    if algorithm != "stream-ac":
        options["optimizer_epsilon"] = 2**-10  # what rounding is divided by
    case = Case(algorithm, "discrete", {}, options)
    recording, history = run(case)
    assert recording.updates[0].after["actor"]["0.weight"].dtype == torch.float32
    difference = largest_difference(case, recording, history)
    assert 0 < difference <= allowed_difference(case, torch.float32)


def test_target_kl_stops_in_the_middle_of_a_rollout() -> None:
    case = next(case for case in CASES if "target_kl" in case.options)
    updates = run(case)[0].updates
    rollouts: dict[int, list[bool]] = {}
    for update in updates:
        rollouts.setdefault(update.num_steps, []).append(same(update))
    for skipped in rollouts.values():  # once one is skipped, so are those that follow
        assert skipped == sorted(skipped)
    assert any(not skipped[0] and skipped[-1] for skipped in rollouts.values())


def test_minibatches_of_an_epoch_hold_each_step_once() -> None:
    recording, history = run(Case("ppo", "box", {}, {"minibatch_size": 4, "num_epochs": 3}))
    rows = torch.stack([update.batch["rows"] for update in recording.updates])
    for epoch in rows.view(-1, recording.config.n_steps * recording.num_envs):
        assert epoch.sort().values.tolist() == list(range(16))
    assert len(rows) == len(history) // 8 * 3 * 4


def test_both_forms_of_a2c_and_reinforce_occur() -> None:
    linked = next(case for case in CASES if "linked" in case.options)
    assert {update.name for update in run(linked)[0].updates} == {"linked", "update"}
    long = next(case for case in CASES if case.options.get("episodes_per_update") == 64)
    names = [update.name for update in run(long)[0].updates]
    assert names == ["chunk", "last_chunk", "chunk", "last_chunk"]


def test_replayed_rows_are_transitions_of_the_run() -> None:
    options = {"num_envs": 3, "reset_steps": True, "clip_reward": 1.0}
    recording, history = run(Case("replay-actor-critic", "discrete", {}, options))
    for update in recording.updates:
        if update.name == "critic":
            batch, steps = update.batch, sampled(history, update)
            clipped = [min(max(step.reward, -1.0), 1.0) for step in steps]
            assert batch["reward"].tolist() == clipped
            assert batch["action"].tolist() == [step.action.tolist() for step in steps]
            discount = [0.0 if step.terminated else 15 / 16 for step in steps]
            assert batch["discount"].tolist() == discount
            following = [step.next_observation.tolist() for step in steps]
            assert batch["next_observation"].tolist() == following


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_weight_decay_of_replay_actor_critic(optimizer: str) -> None:
    options = {"weight_decay": 2**-10, "optimizer": optimizer}
    case = Case("replay-actor-critic", "discrete", {}, options)
    assert largest_difference(case, *run(case)) <= allowed_difference(case)


@cache
def run(case: Case) -> tuple[Recording, History]:
    """What the library did."""
    options = {"num_steps": 24, **COMMON, **DEFAULTS[case.algorithm], **case.options}
    recording = record(case.algorithm, actions=case.actions, **options)
    return recording, history_of(recording.steps)


def same(update: Update) -> bool:
    """Whether an update has changed nothing in the networks."""
    parts = ("actor", "critic")
    named = [(update.before[part], update.after[part]) for part in parts]
    return all(torch.equal(old[name], new[name]) for old, new in named for name in old)


def with_options(recording: Recording, options: dict[str, object]) -> Recording:
    """The recording, as if it had been made with other options, which need not be valid."""
    config = recording.config
    named = {name: getattr(config, name) for name in dir(config) if not name.startswith("_")}
    return replace(recording, config=SimpleNamespace(**named | options))


def largest_difference(case: Case, recording: Recording, history: History) -> float:
    """Between any parameter of the library and the reference's, after any update."""
    total_steps = len(history) * recording.num_envs
    reference = REFERENCES[case.algorithm](recording, SPACES[case.actions], total_steps)
    largest = 0.0
    for update in recording.updates:
        reference.update(history[: update.num_steps], update)
        for part, parameters in reference.parameters().items():
            assert parameters.keys() == update.after[part].keys()
            for name, expected in parameters.items():
                difference = (update.after[part][name] - expected).abs().max().item()
                largest = max(largest, difference)
    return largest


@cache
def allowed_difference(case: Case, dtype: torch.dtype = torch.float64) -> float:
    """What rounding explains: see `tolerance`.

    Each update adds a sum over the batch, through three layers and back, to the parameters. Adam
    and RMSprop divide by the gradient's size, which is at least epsilon: that many times larger may
    a step be than the rounded sum that it is made of.
    """
    recording = run(case)[0]
    config, updates = recording.config, recording.updates
    parameters = [t for update in updates for part in update.after.values() for t in part.values()]
    scale = max(1.0, *(float(tensor.abs().max()) for tensor in parameters))
    if getattr(config, "optimizer", "sgd") != "sgd":
        rates = (config.learning_rate, config.actor_learning_rate, config.critic_learning_rate)
        scale += max(rate or 0.0 for rate in rates) / config.optimizer_epsilon
    rows = max(len(update.batch["observation"].flatten(0, -2)) for update in updates)
    rounding = rounding_error(dtype, terms=rows, depth=6 * len(updates), scale=scale)
    if case.stores_rounded_returns:  # with an error of that size relative to the steps made of them
        moved = config.learning_rate * len(updates)
        # Sums of at most 6 rewards, each clipped at a rounded bound, and then a rounded scale
        rounding += rounding_error(torch.float32, terms=6, depth=3, scale=moved)
    return rounding
