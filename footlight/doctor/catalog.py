"""What each check of the doctor means: its title, consequence, remedy and source."""

from typing import NamedTuple

from footlight.doctor.findings import Finding, Severity

HEALTHY = "calibrated on healthy runs of this library"


class Entry(NamedTuple):
    """The text of a check, the same whatever is measured."""

    title: str
    meaning: str
    remedy: str
    source: str
    confidence: float


CATALOG: dict[str, Entry] = {
    "time-limit-as-termination": Entry(
        "a time limit is treated as the end of the task",
        "the critic learns that nothing follows the limit, so values near it are too small",
        "report time limits as truncated, not terminated (gymnasium.wrappers.TimeLimit does)",
        "Pardo et al. 2018, arXiv:1712.00378", 0.97),
    "termination-ignored": Entry(
        "the end of an episode is not seen by the critic",
        "values continue beyond states after which nothing follows",
        "store terminated with each step and multiply the next value by 1 - terminated",
        HEALTHY, 0.6),
    "environment-differs": Entry(
        "one environment of several behaves differently",
        "a part of the experience comes from another task, or from a broken simulator",
        "run that environment alone with `footlight check-env`, or leave it out of num_envs",
        HEALTHY, 0.96),
    "environments-equal": Entry(
        "all episodes begin in the same state",
        "the environments repeat each other, so the policy sees one beginning only",
        "pass the seed of reset() on to the environment instead of a constant one",
        HEALTHY, 0.9),
    "reward-constant": Entry(
        "the return does not depend on what the policy does",
        "there is nothing to learn from: all rewards and all lengths are the same",
        "check the environment's reward; `footlight simulate` shows what random actions get",
        "RLExplorer, arXiv:2410.04322", 0.95),
    "no-reward-yet": Entry("no goal was reached", "x", "x", HEALTHY, 0.5),
    "buffer-ends-at-limits": Entry("truncated steps are stored as terminal", "x", "x", HEALTHY, 0.97),
    "reward-scale": Entry(
        "rewards have an unusual scale",
        "losses and gradients have the scale of the rewards, which learning rates are not made for",
        "normalize_rewards true, or divide the rewards in the environment",
        "RLExplorer, arXiv:2410.04322: |r| at most 10", 0.88),
    "reward-shifted": Entry(
        "rewards are shifted by a constant",
        "the critic learns an offset first, and what ends an episode early may pay",
        "remove the constant in the environment; a reward for each step that succeeds is positive",
        HEALTHY, 0.9),
    "observation-scale": Entry(
        "observations are very large",
        "activations saturate or explode, and small numbers beside them are not seen",
        "normalize_observations true",
        "RLExplorer, arXiv:2410.04322: |x| at most 10; level " + HEALTHY, 0.93),
    "observation-constant": Entry(
        "observations do not change",
        "the policy cannot tell one state from another",
        "check what the environment returns; `footlight check-env` shows each number's range",
        "RLExplorer, arXiv:2410.04322", 0.98),
    "rollouts-stale": Entry(
        "updates use rollouts that are older than the newest steps",
        "the policy gradient is that of a former policy",
        "learn from each rollout once, right after it was collected",
        HEALTHY, 0.95),
    "buffer-too-small": Entry(
        "the replay buffer holds too little experience",
        "minibatches repeat a few recent steps, and the critic forgets all others",
        "raise buffer_size to 100,000 or more, or to the number of steps",
        "Fedus et al. 2020, arXiv:2007.06700; level " + HEALTHY, 0.92),
    "batch-too-small": Entry(
        "minibatches are very small",
        "gradients are mostly noise",
        "raise batch_size (replay) or minibatch_size to 64 or more, or num_envs to 8",
        HEALTHY, 0.88),
    "too-many-epochs": Entry(
        "each rollout is used for many epochs",
        "the policy moves far from the one that collected the rollout",
        "lower num_epochs to 4 to 10, or set target_kl to 0.02",
        "Andrychowicz et al. 2021, arXiv:2006.05990; level " + HEALTHY, 0.9),
    "horizon-too-short": Entry(
        "gamma is too small for the length of the episodes",
        "the policy is indifferent to what happens more than a few steps later",
        "raise gamma to 0.98 or 0.99",
        HEALTHY, 0.9),
    "horizon-too-long": Entry(
        "gamma is 1, or almost",
        "values of episodes without an end have no bound, and noise accumulates over all steps",
        "lower gamma to 0.99 or 0.999",
        HEALTHY, 0.88),
    "target-missing": Entry(
        "critics learn from themselves, without a target network",
        "each error of a value raises its own target",
        "set tau to 0.005 and target_network to true, or use crossq",
        "Fujimoto et al. 2018, arXiv:1802.09477; RLExplorer", 0.93),
    "target-frozen": Entry(
        "the target network does not follow",
        "values never look further ahead than one step beyond the initial network's",
        "raise tau to 0.005, or update the targets after every step",
        "RLExplorer, arXiv:2410.04322", 0.95),
    "learning-rate-too-high": Entry(
        "updates are very large",
        "each step overwrites what was learned before",
        "divide learning_rate by 10",
        "Karpathy's rule of 1e-3 of the weights' norm per update; level " + HEALTHY, 0.86),
    "learning-rate-too-low": Entry(
        "updates hardly change the networks",
        "the run ends before anything is learned",
        "multiply learning_rate by 10, or train for longer",
        "Karpathy's rule of 1e-3 of the weights' norm per update; level " + HEALTHY, 0.85),
    "policy-moves-too-far": Entry(
        "the policy changes too much in one iteration",
        "the rollout says little about the policy that its updates end with",
        "divide learning_rate by 3, lower num_epochs, or set target_kl to 0.02",
        "Spinning Up: KL at most 0.015; RLExplorer: 0.1", 0.75),
    "critic-overestimates": Entry(
        "the critic promises more than follows",
        "the policy is drawn to actions that only look good",
        "more critics with their minimum, norm layer, or fewer updates_per_step",
        "Chen et al. 2021 (REDQ), arXiv:2101.05982; level " + HEALTHY, 0.6),
    "critic-underestimates": Entry(
        "the critic promises less than follows",
        "the policy avoids actions that are better than they look",
        "actor_rule mean, fewer critics, or a wider network",
        "Chen et al. 2021 (REDQ), arXiv:2101.05982; level " + HEALTHY, 0.55),
    "critic-explains-nothing": Entry(
        "the critic's values have nothing to do with the returns",
        "advantages are noise, so the policy follows noise",
        "raise critic_learning_rate, normalize_rewards true, or a larger rollout",
        "explained variance: 1 at best, 0 for a constant", 0.62),
    "value-impossible": Entry(
        "values are larger than any possible return",
        "the critic has diverged from its rewards",
        "lower tau or learning_rate, norm layer, or another algorithm than ddpg",
        "bound of discounted returns, r_max / (1 - gamma)", 0.7),
    "value-out-of-bins": Entry(
        "returns lie outside of the categorical critic's bins",
        "values beyond the outermost bins cannot be represented",
        "raise bin_bound, or normalize_rewards true with max_normalized_return",
        "Bellemare et al. 2017, arXiv:1707.06887", 0.7),
    "critic-loss-rises": Entry(
        "the critic's loss grows by orders of magnitude",
        "the critic moves away from its targets instead of towards them",
        "check the sign of the loss; lower learning_rate, norm layer",
        "RLExplorer, arXiv:2410.04322; level " + HEALTHY, 0.72),
    "entropy-collapsed": Entry(
        "the policy does not explore",
        "it always takes nearly the same action, so nothing better can be found",
        "raise entropy_coef or initial_log_std (SAC: learn_alpha true, initial_alpha 1)",
        "RLExplorer, arXiv:2410.04322: at least 0.3 at the start", 0.76),
    "entropy-too-high": Entry(
        "the policy stays random",
        "the entropy bonus outweighs the reward",
        "lower entropy_coef (SAC: learn_alpha true, or a smaller initial_alpha)",
        "Jones 2021, Debugging RL, without the nonsense", 0.8),
    "entropy-off-target": Entry(
        "the temperature does not hold the policy's entropy near its target",
        "exploration is not what the config asks for",
        "a larger alpha_learning_rate, or a target_entropy that can be reached",
        "Haarnoja et al. 2018, arXiv:1812.05905, eq. 18; level " + HEALTHY, 0.58),
    "policy-saturated": Entry(
        "nearly all actions are at their bounds",
        "where tanh is flat the actor's gradient vanishes",
        "normalize_observations true, a smaller actor_learning_rate, or another initialization",
        "levels " + HEALTHY, 0.55),
    "policy-constant": Entry(
        "the policy does the same in all states",
        "it does not use what it observes",
        "check that observations differ and have a scale near 1; lower learning_rate",
        "RLExplorer, arXiv:2410.04322", 0.5),
    "actions-not-rescaled": Entry(
        "the environment gets smaller actions than the policy takes",
        "a part of the action range is never used",
        "rescale actions from [-1, 1] to the bounds of the action space",
        HEALTHY, 0.96),
    "units-dead": Entry(
        "hidden units are dead",
        "they put out nothing for any state and get no gradient",
        "norm layer, activation silu or leaky-relu, or a smaller learning_rate",
        "Sokar et al. 2023, arXiv:2302.12902", 0.87),
    "units-saturated": Entry(
        "hidden units are saturated",
        "tanh is flat there, so their gradient vanishes",
        "normalize_observations true, initialization orthogonal, or activation relu",
        "RLExplorer, arXiv:2410.04322", 0.89),
    "weights-grow": Entry(
        "weights have grown a lot",
        "the same learning rate changes large weights less and less",
        "weight_decay, norm layer, or a lower learning_rate",
        "Lee et al. 2025 (SimbaV2), arXiv:2502.15280; level " + HEALTHY, 0.3),
    "diverged": Entry(
        "the run has diverged",
        "numbers were not finite any more",
        "see the other findings; a smaller learning_rate, max_grad_norm 0.5",
        "exit code 4", 0.35),
    "policy-gets-worse": Entry(
        "the policy gets worse than it was at the start",
        "updates go in the wrong direction, or destroy what was there",
        "check the sign of the policy's loss; lower learning_rate",
        HEALTHY, 0.65),
    "policy-against-critic": Entry(
        "the critic rates random actions above the policy's",
        "the policy goes where the critic says it should not",
        "check the sign of the policy's loss; lower actor_learning_rate",
        HEALTHY, 0.9),
    "does-not-learn": Entry(
        "returns do not rise",
        "nothing was learned in these steps",
        "more steps, a preset, or the checklist in docs/when-it-does-not-learn.md",
        HEALTHY, 0.1),
    "forgets": Entry(
        "the policy was better before",
        "the last policy is not the best one that this run has had",
        "use the checkpoint BEST; learning_rate_schedule linear",
        "Fujimoto et al. 2023 (TD7), arXiv:2306.02451; level " + HEALTHY, 0.2),
}  # fmt: skip
"""By the identifier of the check."""


def finding(check: str, severity: Severity, evidence: str, step: int | None = None) -> Finding:
    """The finding of a check with what was measured."""
    entry = CATALOG[check]
    return Finding(
        check=check, severity=severity, title=entry.title, evidence=evidence, step=step,
        meaning=entry.meaning, remedy=entry.remedy, source=entry.source,
        confidence=entry.confidence,
    )  # fmt: skip
