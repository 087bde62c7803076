"""Checks of the values that a run was started with."""

from collections.abc import Iterator

from footlight.doctor.evidence import Evidence, NotApplicable
from footlight.doctor.findings import Finding, Severity, finding

SHORT_HORIZON, LONG_HORIZON = 5.0, 10_001.0  # 1 / (1 - gamma), in steps
EPISODES_LONGER = 4.0  # than the horizon, for it to be short
SMALL_BUFFER, BUFFER_IN_BATCHES = 1_000, 4  # rows, and minibatches
SMALL_BATCH, SMALL_ROLLOUT, MANY_EPOCHS = 8, 4, 30
LATE_START, MIN_USES = 0.8, 4.0  # share of the run, and updates_per_step x batch_size
LARGE_RATE, HUGE_RATE = 0.01, 0.03
FIRST_UPDATES = 2_000  # environment steps after `learning_starts`, by which there has been one
SMALL_ALPHA = 1e-3


def horizon(evidence: Evidence) -> Iterator[Finding]:
    """1 / (1 - gamma) beside the length of the episodes."""
    gamma, length = evidence.number("gamma"), evidence.typical_length
    steps = 1 / max(1 - gamma, 1e-12)
    if steps <= SHORT_HORIZON and length > EPISODES_LONGER * steps:
        text = f"gamma {gamma:g} looks {steps:.3g} steps ahead; episodes take {length:,.0f}"
        yield finding("horizon-too-short", "critical", text)
    ends = [row for row in evidence.episodes if row.get("truncated") is True]
    if steps > LONG_HORIZON and ends:
        share = len(ends) / len(evidence.episodes)
        text = f"gamma {gamma:g}, where {share:.0%} of the episodes end by a time limit"
        yield finding("horizon-too-long", "warning", text)


def buffer_size(evidence: Evidence) -> Iterator[Finding]:
    """The replay buffer beside its minibatches and the episodes."""
    size, batch = (int(evidence.number(name)) for name in ("buffer_size", "batch_size"))
    needed = max(BUFFER_IN_BATCHES * batch, SMALL_BUFFER)
    if size < min(needed, evidence.steps):
        text = f"buffer_size {size:,}, minibatches of {batch:,}; at least {needed:,}"
        yield finding("buffer-too-small", "critical" if size < needed / 2 else "warning", text)


def batch_size(evidence: Evidence) -> Iterator[Finding]:
    """Rows of a minibatch."""
    known = "batch_size", "minibatch_size"
    names = [name for name in known if type(evidence.fields.get(name)) is int]
    if not names:
        rows = int(evidence.number("n_steps")) * evidence.num_envs
        if rows < SMALL_ROLLOUT:
            text = f"n_steps x num_envs is {rows}; at least {SMALL_ROLLOUT}"
            yield finding("batch-too-small", "warning", text)
    for name in names:
        if (size := int(evidence.fields[name])) < SMALL_BATCH:
            text = f"{name} {size}; at least {SMALL_BATCH}"
            yield finding("batch-too-small", "warning", text)


def updates(evidence: Evidence) -> Iterator[Finding]:
    """When updates from a replay buffer begin, and how often they use each step."""
    starts, rate = evidence.number("learning_starts"), evidence.number("updates_per_step")
    planned, measured = evidence.run.config.get("steps"), evidence.run.diagnostics[-1:]
    if any(row.get("update") == 0 and row["step"] > starts + FIRST_UPDATES for row in measured):
        text = f"none after {measured[0]['step']:,} steps, with learning_starts {starts:,.0f}"
        yield finding("updates-too-few", "critical", text)
    elif type(planned) is int and starts > LATE_START * planned:
        text = f"learning_starts {starts:,.0f} of {planned:,} steps; at most {LATE_START:.0%}"
        yield finding("updates-too-few", "critical", text)
    elif (uses := rate * max(evidence.number("batch_size"), SMALL_BATCH)) < MIN_USES:
        text = f"each step is used {uses:.2g} times on average; at least {MIN_USES:g}"
        yield finding("updates-too-few", "warning" if uses > 0 else "critical", text)


def epochs(evidence: Evidence) -> Iterator[Finding]:
    """How often a rollout is used."""
    if (count := int(evidence.number("num_epochs"))) > MANY_EPOCHS:
        yield finding("too-many-epochs", "warning", f"num_epochs {count}; at most {MANY_EPOCHS}")


def learning_rate(evidence: Evidence) -> Iterator[Finding]:
    """Learning rates of Adam and RMSprop, whose updates do not depend on the gradients' size."""
    if evidence.fields.get("optimizer") == "sgd":
        raise NotApplicable("with sgd, a learning rate says nothing by itself")
    names = "learning_rate", "actor_learning_rate", "critic_learning_rate"
    rates = {name: evidence.fields.get(name) for name in names}
    known = {name: rate for name, rate in rates.items() if isinstance(rate, float)}
    if not known:
        raise NotApplicable("the config has no learning_rate")
    name, rate = max(known.items(), key=lambda item: item[1])
    if rate > LARGE_RATE:
        severity: Severity = "critical" if rate > HUGE_RATE else "warning"
        text = f"{name} {rate:g}; at most {LARGE_RATE:g}"
        yield finding("learning-rate-too-high", severity, text)


def fixed_temperature(evidence: Evidence) -> Iterator[Finding]:
    """A temperature of SAC that is fixed at nothing."""
    alpha = evidence.number("initial_alpha")
    if evidence.fields.get("learn_alpha") is False and alpha < SMALL_ALPHA:
        text = f"learn_alpha false with initial_alpha {alpha:g}; at least {SMALL_ALPHA:g}"
        yield finding("entropy-collapsed", "warning", text)


CHECKS = horizon, buffer_size, batch_size, updates, epochs, learning_rate, fixed_temperature
