# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Soft actor-critic
#
# SAC has four numbers that people tune without knowing what they do: the temperature $\alpha$, the
# entropy that it should keep, $\tau$ and $\gamma$. In this lesson you change one at a time and
# measure. You know DDPG and TD3 from [lesson 1](1-actor-critic-family.ipynb); everything here is
# measured on the same pendulum, with three seeds and small networks (two layers of 64).

# %%
# In Colab this cell installs footlight; elsewhere it does nothing. Upload the wheel first
# (lessons/README.md says how). A runtime with a GPU gets the CUDA build of PyTorch.
import importlib
import shutil
import subprocess
import sys
from pathlib import Path


def install_in_colab():
    try:
        importlib.import_module("google.colab")
    except ImportError:
        return
    wheels = sorted(Path.cwd().glob("footlight-*.whl"))
    if not wheels:
        raise SystemExit("no footlight-*.whl here - upload it to Colab's files, and run this again")
    has_gpu = shutil.which("nvidia-smi") is not None
    index = [] if has_gpu else ["--index-url", "https://download.pytorch.org/whl/cpu"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "torch", *index], check=True)
    subprocess.run([*pip, f"{wheels[-1]}[atari,video,wandb]"], check=True)


install_in_colab()

# %%
# What all lessons share: a quick mode for tests, and trainings that are kept. Executing a lesson
# again reuses a finished training and resumes one that was interrupted.
import hashlib
import os

import footlight

QUICK = os.environ.get("FOOTLIGHT_LESSONS") == "quick"
RUNS = Path("runs/lessons")


def trained(name, algorithm, environment, **settings):
    """The run of this name and these settings: trained now, or earlier."""
    if QUICK:
        settings |= {"steps": 300, "eval_episodes": 1, "compile": "off"}
        settings |= {"learning_starts": 100} if "learning_starts" in settings else {}
    settings = {"preset": False, "quiet": True, "threads": 1, **settings}
    words = repr((algorithm, environment, sorted(settings.items())))
    folder = RUNS / f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:6]}"
    if not (folder / "checkpoints" / "LATEST").exists():
        return footlight.train(algorithm, environment, run_dir=folder, **settings)
    run = footlight.Run(folder)
    is_finished = run.result is not None and run.result["status"] == "finished"
    return run if is_finished else footlight.resume(folder, quiet=True)


# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.distributions import Normal
from torch.nn.functional import softplus

torch.set_num_threads(1)
LENGTH = 20 if QUICK else None  # of videos
print("footlight", footlight.__version__, "and torch", torch.__version__.partition("+")[0])

# %% [markdown]
# ## The objective
#
# The entropy of a policy, $H(\pi(\cdot|s)) = -\mathbb{E}\,[\log \pi(a|s)]$, is large if many
# actions are about equally likely. SAC maximizes reward *and* entropy:
#
# $$\sum_t \gamma^t \left(r_t + \alpha\, H(\pi(\cdot|s_t))\right).$$
#
# The temperature $\alpha$ is an exchange rate: the reward that one nat of entropy is worth. In one
# state, with values $Q(a)$ given, the best policy can be written down:
#
# $$\pi(a) \propto e^{Q(a)/\alpha}.$$
#
# Here it is for a value with a high, narrow peak and a lower, broad one.

# %%
actions = np.linspace(-1, 1, 401)
values = 1.0 * np.exp(-(((actions - 0.6) / 0.08) ** 2))
values += 0.9 * np.exp(-(((actions + 0.4) / 0.3) ** 2))


def soft_greedy(values, alpha):
    """Probabilities on the grid of actions, proportional to exp(Q / alpha)."""
    weights = np.exp((values - values.max()) / alpha)
    return weights / weights.sum()


figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4.5), sharex=True)
top.plot(actions, values, color="black")
top.set(ylabel="Q(a)")
preferred = {}
for alpha in (0.02, 0.1, 0.5, 5.0):
    policy = soft_greedy(values, alpha)
    preferred[alpha] = policy[actions > 0.2].sum()
    bottom.plot(actions, policy / (actions[1] - actions[0]), label=f"α = {alpha}")
bottom.set(xlabel="action", ylabel="density", ylim=(0, 10))  # the highest is at 48
bottom.legend()
figure.tight_layout()
plt.show()
for alpha, share in preferred.items():
    print(f"α = {alpha}: {share:.0%} of the actions on the side of the narrow peak")

# %% [markdown]
# A cold policy sits on the highest point (its density is cut off here; it reaches 48). At
# $\alpha = 0.1$ more than half of the actions are on the *broad* peak, which is lower: there is
# more room on it. A hot policy hardly depends on the values at all. This is the whole trade: safety
# against small errors, in the action or in $Q$, for a little reward.
#
# ## The policy: a Gaussian, squeezed
#
# Torques have bounds, Gaussians have none. SAC draws $z \sim \mathcal{N}(m, \sigma^2)$ and acts
# with $a = \tanh z$. Stretching and squeezing changes a density by the slope of the map:
#
# $$\log \pi(a) = \log \mathcal{N}(z; m, \sigma^2) - \log\left(1 - \tanh^2 z\right).$$
#
# Three such densities, each with samples to compare them with:


# %%
def log_prob_of(z, mean, std):
    """Log-density of tanh(z) with z from a Gaussian, in the form that everyone writes first."""
    return Normal(mean, std).log_prob(z) - torch.log(1 - torch.tanh(z) ** 2)


generator = torch.Generator().manual_seed(0)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True)
areas = []
for ax, (mean, std) in zip(axes, [(0.0, 0.4), (0.8, 0.6), (0.0, 2.0)], strict=True):
    samples = torch.tanh(mean + std * torch.randn(50_000, generator=generator))
    ax.hist(samples.numpy(), bins=60, density=True, alpha=0.4)
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    density = log_prob_of(z, mean, std).exp()
    areas.append(float(torch.trapezoid(density, torch.tanh(z))))
    ax.plot(torch.tanh(z), density, color="black", linewidth=1)
    ax.set(title=f"m = {mean}, σ = {std}", xlabel="action", ylim=(0, 2.5))
axes[0].set(ylabel="density")
figure.tight_layout()
plt.show()
near_bounds = float((samples.abs() > 0.9).float().mean())
print(f"σ = 2: {near_bounds:.0%} of the actions are beyond ±0.9")
print("areas under the densities:", ", ".join(f"{area:.3f}" for area in areas))

# %% [markdown]
# The areas are 1, as they must be; without the second term they would not be. Note the right one: a
# Gaussian with a large $\sigma$ becomes a policy that is at nearly full torque about half of the
# time, one way or the other. A large $\sigma$ is *not* a large entropy:

# %%
stds = torch.linspace(0.05, 4, 80)
z = stds * torch.randn(20_000, 1, generator=generator)
entropies = -(Normal(0.0, stds).log_prob(z) - 2 * (np.log(2) - z - softplus(-2 * z))).mean(0)
best_std = float(stds[entropies.argmax()])
plt.figure(figsize=(6, 2.8))
plt.plot(stds, entropies)
plt.axhline(np.log(2), color="gray", linestyle=":", label="uniform actions, log 2")
plt.xlabel("σ before the tanh")
plt.ylabel("entropy of the action (nats)")
plt.legend()
plt.tight_layout()
plt.show()
print(f"largest entropy {entropies.max():.2f} at σ = {best_std:.2f}")

# %% [markdown]
# The entropy cannot exceed $\log 2 = 0.69$, that of uniform actions in $[-1, 1]$, and it has its
# maximum near $\sigma = 0.9$. It may be negative, without a lower bound: entropies of *densities*
# are relative to the unit of the action.
#
# Two traps are in that harmless formula. First, $\tanh z$ rounds to 1 for large $z$, and the
# logarithm of 0 follows. Rewritten with $1 - \tanh^2 z = 4 / (e^z + e^{-z})^2$ it is accurate for
# every $z$:
#
# $$\log(1 - \tanh^2 z) = 2\left(\log 2 - z - \mathrm{softplus}(-2z)\right).$$
#
# Second, the unit. If the action is scaled to torques first, $a = 2 \tanh z$, then $1 - a^2$ is not
# the slope of anything, and below 0 for $|a| > 1$: its logarithm is NaN. Either take the logarithm
# before scaling, as footlight does, or subtract $\log 2$ more per dimension.

# %%
z = torch.tensor([0.5, 3.0, 12.0])
naive = torch.log(1 - torch.tanh(z) ** 2)
stable = 2 * (np.log(2) - z - softplus(-2 * z))
wrong_unit = torch.log(1 - (2 * torch.tanh(z)) ** 2)
print("naive:     ", [round(x, 3) for x in naive.tolist()])
print("stable:    ", [round(x, 3) for x in stable.tolist()])
print("wrong unit:", [round(x, 3) for x in wrong_unit.tolist()])

# %% [markdown]
# ## The update, in three losses
#
# With a batch from the replay buffer, next actions $a' \sim \pi(\cdot|s')$ and new actions
# $\tilde a \sim \pi(\cdot|s)$:
#
# $$y = r + \gamma(1 - \text{terminated})\left(\min_i Q'_i(s', a') - \alpha \log\pi(a'|s')\right)$$
#
# $$L_Q = \sum_i \left(Q_i(s,a) - y\right)^2, \qquad
#   L_\pi = \alpha\log\pi(\tilde a|s) - \min_i Q_i(s, \tilde a), \qquad
#   L_\alpha = -\log\alpha\,\left(\log\pi(\tilde a|s) + \bar H\right).$$
#
# The last one is the thermostat: while the entropy is below its target $\bar H$ (by default minus
# the number of action dimensions, here $-1$), $\alpha$ rises, and above it $\alpha$ falls. In
# footlight, this is one file of about 300 lines that reads in the same order:
# `footlight/algorithms/sac.py`.
#
# All experiments change one setting of the same run. In the figures, lines are means over three
# seeds, and shaded bands reach from the lowest seed to the highest.

# %%
BASE = {
    "hidden_sizes": (64, 64), "batch_size": 128, "learning_rate": 1e-3, "learning_starts": 500,
    "compile": "on", "steps": 6_000, "eval_every": 500, "gamma": 0.98, "tau": 0.01,
}  # fmt: skip
SEEDS = (1,) if QUICK else (1, 2, 3)


def runs_of(name, **change):
    """One run for each seed, with one change."""
    return [
        trained(f"3/{name}-{seed}", "sac", "Pendulum-v1", **{**BASE, "seed": seed, **change})
        for seed in SEEDS
    ]


def finals(runs):
    """The mean return of the final evaluation of each run."""
    return [run.result["final_evaluation"]["mean_return"] for run in runs]


def draw(ax, label, runs, rows="evaluations", key="mean_return"):
    """The mean over runs and the range from the lowest to the highest."""
    series = [
        [(row["step"], row[key]) for row in getattr(run, rows)() if key in row] for run in runs
    ]
    length = min(map(len, series))
    table = np.array([each[:length] for each in series])
    steps, values = table[0, :, 0], table[:, :, 1]
    (line,) = ax.plot(steps, values.mean(0), label=label, marker=".")
    ax.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.15)


def compare(runs, title):
    """The learning curves of several settings, and a line of numbers for each."""
    figure, ax = plt.subplots(figsize=(7, 3.4))
    for label, group in runs.items():
        draw(ax, label, group)
        print(f"{label:<16} final returns {', '.join(f'{each:.0f}' for each in finals(group))}")
    ax.set(xlabel="step", ylabel="return of evaluations", title=title)
    ax.legend()
    figure.tight_layout()
    plt.show()


# %%
base = runs_of("base")
footlight.simulate("Pendulum-v1", base[0].policy, seed=3, max_steps=LENGTH)

# %% [markdown]
# ## Temperature: fixed or learned
#
# The default begins at $\alpha = 1$ and learns. Against it, three constants.

# %%
temperature = {"learned": base}
for alpha in (0.001, 0.2, 5.0):
    temperature[f"α = {alpha}"] = runs_of(f"alpha-{alpha}", learn_alpha=False, initial_alpha=alpha)
compare(temperature, "temperature")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for label, group in temperature.items():
    draw(left, label, group, "metrics", "entropy")
draw(right, "learned", base, "metrics", "alpha")
left.axhline(-1, color="gray", linestyle=":", label="target")
left.set(xlabel="step", ylabel="entropy (nats)")
right.set(xlabel="step", ylabel="α, learned", ylim=(0, None))
left.legend(fontsize=8)
figure.tight_layout()
plt.show()


def last(runs, key):
    """The mean over runs of the last logged value."""
    return float(np.mean([run.metrics()[-1][key] for run in runs]))


# %% [markdown]
# Three of the four end equally well; in how fast they learn, their bands overlap. The figure of the
# entropies shows what the temperature does nevertheless: a cold policy becomes nearly
# deterministic, and $\alpha = 5$ keeps it almost as undecided as its bounds allow. After 6,000
# steps that costs 100 or more per episode, although evaluations act without noise: the policy is
# made for another objective. The learned temperature starts at 1, falls to about 0.2 and keeps the
# entropy near its target of $-1$.
#
# On the pendulum, then, 0.001 is not too cold: the first 500 random steps seem to explore enough.
# What learning $\alpha$ buys is that you need not know the scale of the rewards (exercise 1).
#
# ## tau: how fast the targets follow
#
# After each update $\theta' \leftarrow (1 - \tau)\,\theta' + \tau\,\theta$. A target forgets with a
# time constant of $1/\tau$ updates: 100 for $\tau = 0.01$, 2,000 for $\tau = 0.0005$, and with
# $\tau = 1$ there is no target network at all.

# %%
speed = {"τ = 0.01": base}
for tau in (0.0005, 1.0):
    speed[f"τ = {tau}"] = runs_of(f"tau-{tau}", tau=tau)
compare(speed, "speed of the target networks")
losses = {
    label: max(row["critic_loss"] for run in group for row in run.metrics() if "critic_loss" in row)
    for label, group in speed.items()
}
for label, group in speed.items():
    print(f"{label}: mean Q {last(group, 'q_mean'):.0f}, largest critic loss {losses[label]:.2g}")

# %% [markdown]
# Both extremes fail, in opposite ways. With $\tau = 0.0005$ the values come too late. A policy that
# loses about 7 per step is worth about $-7 / (1 - \gamma) = -350$, but after 5,500 updates the mean
# Q is only $-20$: what the critic learns of one step has to pass through the slow targets before it
# counts one step earlier, and fewer than three time constants have passed. With $\tau = 1$ the
# targets move with every update, and the critic chases itself: its largest loss is a hundred times
# that of $\tau = 0.01$. One seed gets somewhere, two do not. Only 0.01 has been tried between the
# two here; the SAC paper's 0.005 is half of it.
#
# ## gamma: how far ahead the critic looks
#
# Rewards beyond $1/(1-\gamma)$ steps hardly count. That is 2 steps for $\gamma = 0.5$, 50 for 0.98,
# 1,000 for 0.999. A swing-up from below takes about 50.

# %%
horizon = {"γ = 0.98": base}
for gamma in (0.5, 0.999):
    horizon[f"γ = {gamma}"] = runs_of(f"gamma-{gamma}", gamma=gamma)
compare(horizon, "discount")
for label, group in horizon.items():
    print(
        f"{label}: mean Q {last(group, 'q_mean'):.1f}, critic loss {last(group, 'critic_loss'):.3g}"
    )

# %% [markdown]
# With $\gamma = 0.5$ the agent is *right*, within its horizon of two steps: nothing that it can do
# now changes the next two rewards by much. Its critic has by far the smallest loss of the three,
# even for values that are seven times smaller: the question is easy, and nobody asked it. With
# $\gamma = 0.999$ the agent ends as well as with 0.98; the values are larger in size, and so is the
# critic's loss. A small critic loss is not a sign of a good agent.
#
# ## A target network for the actor
#
# DDPG and TD3 take next actions from a slow copy of the actor; SAC takes them from the actor
# itself, whose noise already smooths the target. `target_actor=True` adds the copy.

# %%
target = {"off": base, "on": runs_of("target-actor", target_actor=True)}
compare(target, "target network of the actor")

# %% [markdown]
# No difference that three seeds could show. In footlight the copy is off by default, as in the SAC
# paper, which saves a network.
#
# ## The numbers that this page claims
#
# If one of these lines failed, text and figures would disagree, and the notebook could not have
# been written.


# %%
def claim(is_true, words):
    """One claim of the text; in quick mode nothing has been learned, and nothing is claimed."""
    assert QUICK or is_true, words
    print("skipped:" if QUICK else "true:", words)


mean = {
    label: float(np.mean(finals(group)))
    for group_of in (temperature, speed, horizon, target)
    for label, group in group_of.items()
}
claim(preferred[0.02] > 0.9 and preferred[0.1] < 0.5, "warm policies prefer the broad peak")
claim(all(abs(area - 1) < 0.01 for area in areas), "the densities have areas of 1")
claim(0.4 < near_bounds < 0.55, "σ = 2 is at nearly full torque about half of the time")
claim(0.7 < best_std < 1.1 and entropies.max() < np.log(2), "the largest entropy is at σ ≈ 0.9")
claim(
    max(mean["learned"], mean["α = 0.001"], mean["α = 0.2"])
    - min(mean["learned"], mean["α = 0.001"], mean["α = 0.2"])
    < 20,
    "learned, 0.001 and 0.2 end within 20 of each other",
)
claim(mean["α = 5.0"] < mean["learned"] - 100, "α = 5 costs 100 or more per episode")
claim(0.1 < last(base, "alpha") < 0.3, "the learned temperature falls to about 0.2")
claim(abs(last(base, "entropy") + 1) < 0.2, "and keeps the entropy near -1")
claim(
    last(temperature["α = 0.001"], "entropy")
    < last(base, "entropy")
    < last(temperature["α = 5.0"], "entropy"),
    "colder policies have less entropy",
)
claim(max(finals(speed["τ = 0.0005"])) < -1_000, "τ = 0.0005 learns nothing in 6,000 steps")
claim(-30 < last(speed["τ = 0.0005"], "q_mean") < -10, "its values are far from -350")
claim(
    losses["τ = 1.0"] > 50 * losses["τ = 0.01"], "with τ = 1 the largest loss is 100 times as large"
)
failed = sum(each < -1_000 for each in finals(speed["τ = 1.0"]))
claim(failed == 2, "with τ = 1 two of three seeds fail")
claim(max(finals(horizon["γ = 0.5"])) < -1_000, "γ = 0.5 does not swing up")
claim(abs(mean["γ = 0.999"] - mean["γ = 0.98"]) < 20, "γ = 0.999 is as good as 0.98")
claim(
    last(horizon["γ = 0.5"], "critic_loss") < 0.1 * last(base, "critic_loss"),
    "the smallest critic loss belongs to the agent that fails",
)
claim(abs(mean["on"] - mean["off"]) < 20, "the target actor changes nothing that can be seen")

# %% [markdown]
# ## Exercises
#
# 1. **The price of entropy.** Suppose every step costs 1, with $\gamma = 0.98$ and $\alpha = 1$.
#    How much does a uniform policy ($H = \log 2$) add to its soft value, compared with the cost?
# 2. **The thermostat.** Compute the gradient of $L_\alpha$ with respect to $\log\alpha$ by
#    autograd, for a policy whose entropy is below the target and for one above it. Which way does
#    $\alpha$ go?
# 3. **A nervous policy.** Train with `target_entropy=0.3` and seed 1. What are $\alpha$ and the
#    entropy at the end? And the return?
#
# ## Solutions

# %% jupyter={"source_hidden": true}
# @title Solution 1 { display-mode: "form" }
cost, bonus = -1 / (1 - 0.98), np.log(2) / (1 - 0.98)
print(f"cost {cost:.0f}, bonus {bonus:.0f}")

# %% [markdown]
# With rewards of this size, entropy would make up for 70 % of the cost. That is why a temperature
# only means something next to the scale of the rewards, and why it is learned by default.

# %% jupyter={"source_hidden": true}
# @title Solution 2 { display-mode: "form" }
gradients = {}
for label, entropy in {"below": -2.0, "above": 0.0}.items():
    log_alpha = torch.zeros(1, requires_grad=True)
    log_prob = torch.tensor([-entropy])
    (-log_alpha * (log_prob + -1.0)).sum().backward()
    gradients[label] = log_alpha.grad.item()
    print(f"entropy {label} the target of -1: gradient {gradients[label]:+.0f}")

# %% [markdown]
# Gradient descent subtracts the gradient: below the target $\alpha$ rises, above it falls.

# %% jupyter={"source_hidden": true}
# @title Solution 3 { display-mode: "form" }
nervous = trained("3/nervous-1", "sac", "Pendulum-v1", **BASE, seed=1, target_entropy=0.3)
for label, run in {"target -1": base[0], "target 0.3": nervous}.items():
    row = run.metrics()[-1]
    print(
        f"{label}: α {row['alpha']:.2f}, entropy {row['entropy']:.2f}, "
        f"final return {run.result['final_evaluation']['mean_return']:.0f}"
    )

# %% [markdown]
# The thermostat does what it is told: the entropy is at 0.3, not far from the maximum of 0.69, and
# the temperature it takes is more than ten times as high. The return is lower, in this one run.
