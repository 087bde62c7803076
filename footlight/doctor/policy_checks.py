"""Checks of the policy and of the actions that it takes."""

from collections.abc import Iterator

from footlight.doctor.evidence import Evidence, NotApplicable, NotJudged, Series
from footlight.doctor.findings import Finding, Severity, finding

COLLAPSED_START, COLLAPSED = 0.3, 0.05  # relative entropy
NARROW_START, NARROW = 0.05, 0.02  # the same of continuous actions: width as a share of the range
RANDOM = 0.95
SATURATED = 0.9
CONSTANT = 0.01
NARROWED = 0.95
PREFERRED = 0.35
FAR_FROM_TARGET = 1.5
KL, MUCH_KL, CLIPPED = 0.05, 0.2, 0.5


def entropy(evidence: Evidence) -> Iterator[Finding]:
    """The policy's entropy as a share of its largest, at the start and at the end."""
    share = evidence.trained("relative_entropy")
    is_discrete = not any("policy_std" in row for row in evidence.run.diagnostics)
    at_start, at_end = (COLLAPSED_START, COLLAPSED) if is_discrete else (NARROW_START, NARROW)
    is_early = share.steps[0] <= 0.2 * evidence.steps
    if is_early and share.values[0] < at_start and not evidence.is_learning:
        text = f"relative entropy {share.values[0]:.2g} at first; at least {at_start:g}"
        yield finding("entropy-collapsed", "critical", text, share.steps[0], share.name)
    elif share.values[-1] < at_end and not evidence.is_learning:
        text = f"relative entropy {share.values[-1]:.2g}; at least {at_end:g}"
        step = share.first(lambda value: value < at_end)
        yield finding("entropy-collapsed", "warning", text, step, share.name)
    # Without a bonus, or with one that adapts itself, randomness is a consequence
    config = evidence.fields
    has_bonus = config.get("entropy_coef") != 0 and config.get("learn_alpha") is not True
    if has_bonus and _stays_random(share, is_discrete) and not evidence.is_learning:
        text = f"relative entropy {share.values[-1]:.3g} at the end; at most {RANDOM:g}"
        step = share.first(lambda value: value > RANDOM)
        yield finding("entropy-too-high", "warning", text, step, share.name)


def _stays_random(share: Series, is_discrete: bool) -> bool:
    if len(share) < 3:
        return False
    if is_discrete or max(share.values) <= 1:
        return min(share.values[len(share) // 2 :]) > RANDOM
    # A Gaussian is not bounded: it begins wider than its range, and has to become narrower
    return share.values[-1] > 1.5 * share.values[0]


def temperature(evidence: Evidence) -> Iterator[Finding]:
    """The policy's entropy beside the target that the temperature holds it near."""
    if evidence.fields.get("learn_alpha") is not True:
        raise NotApplicable("no temperature is learned")
    gap = evidence.trained("entropy_gap").since(0.3, evidence.steps)
    if len(gap) >= 3 and abs(gap.median) > FAR_FROM_TARGET and not evidence.is_learning:
        most = f"at most {FAR_FROM_TARGET:g}"
        text = f"{gap.median:+.2f} nats per action dimension from the target; {most}"
        step = gap.first(lambda value: abs(value) > FAR_FROM_TARGET)
        yield finding("entropy-off-target", "warning", text, step, gap.name)


def saturation(evidence: Evidence) -> Iterator[Finding]:
    """Actions at their bounds."""
    share = evidence.trained("action_saturation")
    if share.median > SATURATED and not evidence.is_learning:
        text = (
            f"{share.median:.0%} of the actions are within 1 % of a bound; at most {SATURATED:.0%}"
        )
        step = share.first(lambda value: value > SATURATED)
        yield finding("policy-saturated", "warning", text, step, share.name)


def variation(evidence: Evidence) -> Iterator[Finding]:
    """Actions that are the same in all states."""
    varied = evidence.trained("action_variation").since(0.3, evidence.steps)
    if len(varied) < 3:
        raise NotJudged("too few evaluations")
    if varied.median < CONSTANT and not evidence.is_learning:
        text = f"actions vary by {varied.median:.2g} over states; at least {CONSTANT:g}"
        step = varied.first(lambda value: value < CONSTANT)
        yield finding("policy-constant", "warning", text, step, varied.name)


def preference(evidence: Evidence) -> Iterator[Finding]:
    """The policy's actions beside random ones, as the critic sees them."""
    share = evidence.trained("policy_preferred").since(0.3, evidence.steps)
    if len(share) and share.median < PREFERRED:
        text = (
            f"it prefers the policy's in {share.median:.0%} of the states; at least {PREFERRED:.0%}"
        )
        step = share.first(lambda value: value < PREFERRED)
        yield finding("policy-against-critic", "critical", text, step, share.name)


def wrapped_range(evidence: Evidence) -> Iterator[Finding]:
    """Wrappers with narrower bounds than the environment inside."""
    share = evidence.diagnostic("action_range")
    if share.median < NARROWED:
        text = f"wrappers reach {share.median:.0%} of the inner range; at least {NARROWED:.0%}"
        yield finding("actions-not-rescaled", "warning", text, None, share.name)


def scale(evidence: Evidence) -> Iterator[Finding]:
    """The actions that were taken beside the policy's."""
    if evidence.run.config.get("eval_stochastic"):
        raise NotJudged("evaluations are stochastic")
    ratio = evidence.diagnostic("action_scale")
    if abs(ratio.median - 1) > 1 - NARROWED:
        text = (
            f"actions that were taken are {ratio.median:.2f} times those of the policy; exactly 1"
        )
        yield finding("actions-not-rescaled", "critical", text, ratio.steps[0], ratio.name)


def change(evidence: Evidence) -> Iterator[Finding]:
    """How far a policy moves from the one that collected its rollout."""
    kl, clipped = evidence.metric("approx_kl"), evidence.metric("clip_fraction")
    if kl.median > KL or clipped.median > CLIPPED:
        severity: Severity = "critical" if kl.median > MUCH_KL else "warning"
        text = f"KL {kl.median:.3g}; at most {KL:g}"
        step, shown = kl.first(lambda value: value > KL), kl.name
        if kl.median <= KL:
            text = f"clip fraction {clipped.median:.2f}; at most {CLIPPED:g}"
            step, shown = clipped.first(lambda value: value > CLIPPED), clipped.name
        yield finding("policy-moves-too-far", severity, text, step, shown)


CHECKS = entropy, temperature, saturation, variation, preference, wrapped_range, scale, change
