"""What each check of the doctor means: its title, consequence, remedy and source."""

from typing import NamedTuple

from footlight.doctor.remedies import (
    LOWER_ACTOR_RATE,
    LOWER_RATE,
    NORMALIZE_LAYERS,
    NORMALIZE_OBSERVATIONS,
    NORMALIZE_REWARDS,
    RESCALE_OBSERVATIONS,
    RESCALE_REWARDS,
)

HEALTHY = "level calibrated on healthy runs of this library"
PARDO = "Pardo et al. 2018, arXiv:1712.00378"
RLEXPLORER = "RLExplorer, arXiv:2410.04322"
KARPATHY = f"Karpathy's rule of 1e-3 of the weights' norm per update; {HEALTHY}"
REDQ = f"Chen et al. 2021 (REDQ), arXiv:2101.05982; {HEALTHY}"


class Entry(NamedTuple):
    """The text of a check, the same whatever is measured."""

    title: str
    meaning: str
    remedy: tuple[str, ...]
    """Things to do, the best one first, with config fields in braces; one at least has none."""
    source: str
    confidence: float


CATALOG: dict[str, Entry] = {
    "time-limit-as-termination": Entry(
        "a time limit is treated as termination",
        "the critic learns that no reward follows the limit: values near it are biased towards 0",
        ("report time limits as truncated, not terminated (gymnasium.wrappers.TimeLimit does)",),
        f"{PARDO}; {HEALTHY}", 0.97),
    "buffer-ends-at-limits": Entry(
        "truncated steps are treated as terminal",
        "the agent adds no value after a time limit, so values near it are biased towards 0",
        ("multiply the next value by 1 - terminated, not by 1 - done, in the buffer or update",),
        PARDO, 0.97),
    "termination-ignored": Entry(
        "terminations are ignored by the critic",
        "values extend beyond terminal states, after which no reward follows",
        ("store terminated with each step, and multiply the next value by 1 - terminated",),
        HEALTHY, 0.6),
    "environment-differs": Entry(
        "one of the environments behaves differently",
        "a part of the experience comes from another task, or from a broken simulator",
        ("compare its arguments and wrappers with those of the others", "restart its simulator"),
        HEALTHY, 0.96),
    "environments-equal": Entry(
        "episodes begin in the same state",
        "the policy sees a single initial state, and several environments would repeat each other",
        ("draw initial states from the generator that reset(seed=...) seeds (self.np_random)",),
        HEALTHY, 0.9),
    "no-reward-yet": Entry(
        "all rewards so far are the same",
        "if there is a goal, it was never reached, so there is nothing to learn from yet",
        ("train for longer", "reward progress towards the goal, or make it easier to reach",
         "raise {exploration_noise}", "raise {entropy_coef}"),
        RLEXPLORER, 0.66),
    "reward-constant": Entry(
        "the return does not depend on what the policy does",
        "all rewards and all returns are the same, so there is nothing to learn from",
        ("check the environment's reward; `footlight simulate` shows what random actions earn",),
        RLEXPLORER, 0.95),
    "reward-scale": Entry(
        "rewards have an unusual scale",
        "losses and gradients scale with the rewards, and usual learning rates do not suit them",
        (NORMALIZE_REWARDS, RESCALE_REWARDS),
        f"{RLEXPLORER}: |r| at most 10; {HEALTHY}", 0.88),
    "reward-shifted": Entry(
        "rewards have a constant offset",
        "the critic has to learn the offset first, and ending an episode early may pay off",
        ("remove the constant in the environment",
         "where episodes can end early, reward each step that succeeds"),
        HEALTHY, 0.9),
    "observation-scale": Entry(
        "observations are very large",
        "activations saturate or explode, and smaller components have no influence",
        (NORMALIZE_OBSERVATIONS, RESCALE_OBSERVATIONS),
        f"{RLEXPLORER}: |x| at most 10; {HEALTHY}", 0.93),
    "observation-constant": Entry(
        "observations do not change",
        "the policy cannot tell one state from another",
        ("check what the environment returns; `footlight check-env` prints ranges",),
        RLEXPLORER, 0.98),
    "rollouts-stale": Entry(
        "updates learn from outdated rollouts",
        "the policy gradient is that of an earlier policy",
        ("learn from each rollout as soon as it is complete, then discard it",),
        HEALTHY, 0.95),
    "buffer-too-small": Entry(
        "the replay buffer holds too little experience",
        "minibatches repeat a few recent steps, and the critic forgets everything else",
        ("raise {buffer_size} to 100,000, or to the number of steps",
         "if memory is short, use smaller observations, such as uint8 images"),
        f"Fedus et al. 2020, arXiv:2007.06700; {HEALTHY}", 0.92),
    "batch-too-small": Entry(
        "batches are very small",
        "gradients are mostly noise",
        ("raise {batch_size} to 64 or more", "raise {minibatch_size} to 64 or more",
         "if updates use rollouts: more steps in each, or more environments (--num-envs 8)"),
        HEALTHY, 0.88),
    "updates-too-few": Entry(
        "there are hardly any updates",
        "most of what is collected is never learned from",
        ("if episodes never end, set {use_checkpoints true>false}, or give them a time limit",
         "raise {updates_per_step} (1 is usual)", "lower {learning_starts}", "train for longer"),
        HEALTHY, 0.87),
    "too-many-epochs": Entry(
        "each rollout is used for many epochs",
        "the policy moves far from the one that collected the rollout",
        ("lower {num_epochs} to at most 10", "set {target_kl} to 0.02",
         "to reuse experience more, choose an algorithm with a replay buffer"),
        f"Andrychowicz et al. 2021, arXiv:2006.05990; {HEALTHY}", 0.9),
    "horizon-too-short": Entry(
        "gamma is too small for the length of the episodes",
        "the policy is indifferent to what happens more than a few steps ahead",
        ("raise {gamma} to 0.98 or 0.99", "give rewards soon after the actions that earn them"),
        HEALTHY, 0.9),
    "horizon-too-long": Entry(
        "gamma is 1, or nearly 1",
        "values of endless episodes have no bound, and noise accumulates over all steps",
        ("lower {gamma} to 0.99 or 0.999", "where the task itself ends at the time limit, report "
         "it as terminated and add the remaining time to the observation"),
        HEALTHY, 0.88),
    "target-missing": Entry(
        "the critic is trained on its own predictions, without a target network",
        "an error of a value raises its own target",
        ("set {target_network false>true}", "set {tau 1.0>0.005}",
         "check that targets are computed with a slowly moving copy of the critic",
         "choose an algorithm that needs no target network, such as crossq"),
        "Fujimoto et al. 2018, arXiv:1802.09477; RLExplorer, arXiv:2410.04322", 0.93),
    "target-frozen": Entry(
        "the target network does not follow",
        "targets stay those of the initial network",
        ("raise {tau} (0.005 is usual)", "update the targets after each update of the critic"),
        f"{RLEXPLORER}; {HEALTHY}", 0.95),
    "network-frozen": Entry(
        "a network does not change",
        "no gradient reaches its weights, or no update is applied to them",
        ("check that its loss depends on its parameters, and that updates change these",
         "raise {learning_rate}"),
        HEALTHY, 0.95),
    "learning-rate-too-high": Entry(
        "updates are very large",
        "each update overwrites what was learned before",
        ("divide {learning_rate} by 10",
         "also divide {actor_learning_rate} and {critic_learning_rate}, if they are set",
         "divide {actor_step_size} and {critic_step_size} by 10",
         "compare with the learning rates of a preset"),
        KARPATHY, 0.86),
    "learning-rate-too-low": Entry(
        "updates hardly change the networks",
        "the run ends before much is learned",
        ("multiply {learning_rate} by 10",
         "also multiply {actor_learning_rate} and {critic_learning_rate}, if they are set",
         "multiply {actor_step_size} and {critic_step_size} by 10",
         "train for longer"),
        KARPATHY, 0.85),
    "policy-moves-too-far": Entry(
        "the policy changes too much in one iteration",
        "by the last updates, the rollout no longer represents the policy",
        ("divide {learning_rate} by 3", "lower {num_epochs}", "set {target_kl} to 0.02",
         "collect more steps per iteration"),
        f"Spinning Up: KL at most 0.015; RLExplorer: 0.1; {HEALTHY}", 0.75),
    "critic-overestimates": Entry(
        "the critic overestimates returns",
        "the policy is drawn to actions that only look good",
        ("raise {num_critics}", *NORMALIZE_LAYERS, "lower {updates_per_step}",
         "set a smaller {critic_learning_rate}", "lower {critic_step_size}",
         "check that values end where episodes terminate"),
        REDQ, 0.6),
    "critic-underestimates": Entry(
        "the critic underestimates returns",
        "the policy avoids actions that are better than they look",
        ("set {actor_rule minimum>mean}",
         "{critic!=quantile}with several critics, set {target_rule minimum>mean}",
         "{critic=quantile}with quantile critics, lower {dropped_quantiles}",
         "use a larger network", "set a larger {critic_learning_rate}", "raise {critic_step_size}"),
        REDQ, 0.55),
    "critic-explains-nothing": Entry(
        "the critic explains none of the returns' variance",
        "advantages are noise, so the policy follows noise",
        (NORMALIZE_REWARDS, "set a larger {critic_learning_rate}", "raise {critic_step_size}",
         "use more experience per update, or a larger network"),
        "explained variance is 1 at best, and 0 for a constant", 0.62),
    "value-impossible": Entry(
        "values are beyond any possible return",
        "the critic has diverged",
        ("set {num_critics 1>2}", *NORMALIZE_LAYERS, *LOWER_RATE,
         "lower {tau}, if there are target networks",
         "check that values end where episodes terminate"),
        f"bound of discounted returns, r_max / (1 - gamma); {HEALTHY}", 0.7),
    "value-out-of-bins": Entry(
        "values reach the outermost bins of the categorical critic",
        "values beyond these bins cannot be represented",
        ("raise {bin_bound}", NORMALIZE_REWARDS, "set {max_normalized_return none>5}",
         RESCALE_REWARDS),
        f"Bellemare et al. 2017, arXiv:1707.06887; {HEALTHY}", 0.7),
    "critic-loss-rises": Entry(
        "the critic's loss grows by orders of magnitude",
        "the critic moves away from its targets instead of towards them",
        ("check the sign of the critic's loss", *LOWER_RATE, *NORMALIZE_LAYERS),
        f"{RLEXPLORER}; {HEALTHY}", 0.72),
    "entropy-collapsed": Entry(
        "the policy hardly explores",
        "it takes nearly the same action each time, so nothing better can be found",
        ("raise {entropy_coef}", "raise {initial_log_std} (continuous actions)",
         "set {learn_alpha false>true}", "raise {initial_alpha}", "raise {target_entropy_share}",
         "check the sign of the entropy bonus"),
        f"{RLEXPLORER}: discrete actions at least 0.3 at the start; otherwise {HEALTHY}", 0.76),
    "entropy-too-high": Entry(
        "the policy stays random",
        "the entropy bonus outweighs the reward",
        ("lower {entropy_coef}", "set {learn_alpha false>true}", "lower {initial_alpha}",
         "lower {target_entropy_share}", "rescale rewards, if they are small"),
        f"Jones 2021, Debugging RL, without the nonsense; {HEALTHY}", 0.8),
    "entropy-off-target": Entry(
        "the temperature does not hold the policy's entropy near its target",
        "the policy explores more or less than the config asks for",
        ("set a larger {alpha_learning_rate}", "set a {target_entropy} that can be reached",
         "set a {target_entropy_share} that can be reached",
         "train for longer, so that the temperature can adapt"),
        f"Haarnoja et al. 2018, arXiv:1812.05905, eq. 18; {HEALTHY}", 0.58),
    "policy-saturated": Entry(
        "nearly all actions are at their bounds",
        "the actor's gradient vanishes where tanh is flat or actions are clipped",
        (NORMALIZE_OBSERVATIONS, *LOWER_ACTOR_RATE, "set {initialization pytorch>orthogonal}",
         RESCALE_OBSERVATIONS),
        HEALTHY, 0.55),
    "policy-constant": Entry(
        "the policy takes the same action in all states",
        "it ignores what it observes",
        ("check that observations differ, with a magnitude near 1", NORMALIZE_OBSERVATIONS,
         *LOWER_RATE),
        f"{RLEXPLORER}; {HEALTHY}", 0.5),
    "actions-not-rescaled": Entry(
        "the policy's actions do not match the environment's action range",
        "a part of the range is never used, or actions are clipped at its bounds",
        ("map [-1, 1] to the bounds of the action space exactly once "
         "(gymnasium.wrappers.RescaleAction does)",),
        HEALTHY, 0.96),
    "units-dead": Entry(
        "most hidden units are dead",
        "they output zero in every state, or nearly so, and get no gradient",
        (*NORMALIZE_LAYERS, "set {activation relu>silu}", *LOWER_RATE, RESCALE_OBSERVATIONS),
        f"Sokar et al. 2023, arXiv:2302.12902; {HEALTHY}", 0.87),
    "units-saturated": Entry(
        "most hidden units are saturated",
        "tanh is flat there, so their gradient vanishes",
        (NORMALIZE_OBSERVATIONS, "set {activation tanh>relu}",
         "set {initialization pytorch>orthogonal}", RESCALE_OBSERVATIONS),
        f"{RLEXPLORER}: at most half of the units", 0.89),
    "weights-grow": Entry(
        "weights have grown a lot",
        "the larger the weights, the less an update changes them",
        ("raise {weight_decay}", *NORMALIZE_LAYERS, *LOWER_RATE, RESCALE_REWARDS),
        f"Lee et al. 2025 (SimbaV2), arXiv:2502.15280; {HEALTHY}", 0.3),
    "diverged": Entry(
        "the run has diverged",
        "a loss, gradient or parameter is no longer finite",
        ("see the other findings", *LOWER_RATE, "set {max_grad_norm none>0.5}"),
        "exit code 4", 0.35),
    "policy-gets-worse": Entry(
        "the policy gets worse than it was at the start",
        "updates go in the wrong direction, or destroy what was learned",
        ("check the sign of the policy's loss", *LOWER_RATE),
        HEALTHY, 0.65),
    "policy-against-critic": Entry(
        "the critic rates random actions above the policy's",
        "updates move the policy away from what the critic considers good",
        ("check the sign of the policy's loss", *LOWER_ACTOR_RATE),
        HEALTHY, 0.9),
    "does-not-learn": Entry(
        "returns do not improve",
        "the policy is no better than at the start, as far as can be measured",
        ("train for longer", "use a preset", "see docs/when-it-does-not-learn.md"),
        HEALTHY, 0.1),
    "evaluations-lag": Entry(
        "evaluations are worse than training episodes",
        "training episodes improve by exploration, or by what evaluations lack",
        ("compare the evaluation environment and its wrappers with the training's",
         "lower {exploration_noise}", "evaluate with random actions, if the task needs chance"),
        HEALTHY, 0.6),
    "forgets": Entry(
        "an earlier policy was better",
        "the last policy is not the best one of this run",
        ("use the checkpoint BEST", "set {learning_rate_schedule constant>linear}"),
        f"Fujimoto et al. 2023 (TD7), arXiv:2306.02451; {HEALTHY}", 0.2),
}  # fmt: skip
"""By the identifier of the check."""
