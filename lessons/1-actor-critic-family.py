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
# # 1. The actor-critic family
#
# One-step actor-critic, DDPG, TD3 and SAC are variations on one idea. In this lesson you write all
# four, each in a class of 20 to 45 lines, and let them learn to swing up a pendulum. Then you run
# them again as one-liners of the library, and measure what the tricks of TD3 are worth, by
# switching them off one at a time.

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
import copy
import inspect

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)  # these networks are so small that a second thread only waits
LENGTH = 20 if QUICK else None  # of videos
print("footlight", footlight.__version__, "and torch", torch.__version__.partition("+")[0])

# %% [markdown]
# ## The task
#
# A pendulum hangs from a motor that is too weak to lift it in one go. It has to be swung up and
# held there. The observation is $(\cos\theta, \sin\theta, \dot\theta)$, the action a torque in
# $[-2, 2]$, and the reward
#
# $$r = -\left(\theta^2 + 0.1\,\dot\theta^2 + 0.001\,a^2\right) \le 0,$$
#
# with $\theta = 0$ upright. An episode has 200 steps. It never *terminates*: after 200 steps it is
# *truncated*, although the pendulum could swing on. That matters below.
#
# First, a video of a policy that knows nothing.

# %%
footlight.simulate("Pendulum-v1", seed=3, max_steps=LENGTH)

# %% [markdown]
# How bad is that? One video says little, so play 50 episodes with random torques.

# %%
with footlight.seeded("Pendulum-v1", seed=0) as env:
    random_returns = []
    for _ in range(3 if QUICK else 50):
        env.reset()
        random_returns.append(sum(env.step(env.action_space.sample())[1] for _ in range(200)))
print(f"random torques: mean return {np.mean(random_returns):.0f}")

# %% [markdown]
# We call the task **solved** when the mean return of the last 100 *training* episodes, noise and
# first attempts included, reaches $-370$. A policy that swings up at once gets about $-150$: the
# return depends on where the pendulum starts, and from below the swing costs about that much.

# %%
SOLVED = -370

# %% [markdown]
# ## One idea, four algorithms
#
# An *actor* $\pi_\theta$ chooses actions. A *critic* estimates how much reward will follow, from a
# state, $V(s)$, or from a state and an action, $Q(s, a)$, with rewards $k$ steps ahead weighted by
# $\gamma^k$. The critic learns from its own prediction one step later:
#
# $$y = r + \gamma\,(1 - \text{terminated})\;V(s'), \qquad \delta = y - V(s).$$
#
# The factor $1 - \text{terminated}$ says that nothing follows a terminal state. A truncated episode
# keeps its $\gamma V(s')$: only the clock has ended it, and more reward would have followed.
#
# The actor can use the critic in two ways:
#
# * **Score function**: make actions more probable that turned out better than expected,
#   $\nabla_\theta \log \pi_\theta(a|s)\,\delta$. This works for any policy that can be sampled,
#   with actions that the policy has just drawn (*on-policy*). One-step actor-critic does this.
# * **Through the critic**: $Q(s, a)$ is a differentiable function of the action, so climb it:
#   $\nabla_\theta Q(s, \pi_\theta(s))$. The states can come from old experience (*off-policy*), so
#   every transition is used many times. DDPG, TD3 and SAC do this.
#
# Everything that follows uses the same small network.

# %%
GAMMA = 0.98


def mlp(num_inputs, num_outputs):
    return nn.Sequential(
        nn.Linear(num_inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, num_outputs),
    )  # fmt: skip


def step_of(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def tensor(array):
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)


# %% [markdown]
# ## One-step actor-critic
#
# The policy is a Gaussian: a network for its mean, one number for the logarithm of its standard
# deviation. A single transition is a very noisy estimate of a gradient, so 16 pendulums swing side
# by side and each update averages over their 16 transitions. Rewards are divided by 8, so that the
# critic's outputs are neither tiny nor huge, and $\dot\theta$ by 8, so that it is as large as the
# other two inputs. The discount is 0.9 here and 0.98 in the other three classes: this critic looks
# less far ahead, and its targets are less noisy.


# %%
class OneStepActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = mlp(3, 1), mlp(3, 1)
        self.log_std = nn.Parameter(torch.zeros(1))
        actor = [*self.actor.parameters(), self.log_std]
        self.actor_optimizer = torch.optim.Adam(actor, lr=3e-4)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=1e-3)

    def distribution(self, observation):
        scaled = tensor(observation) * torch.tensor([1, 1, 1 / 8])
        return torch.distributions.Normal(self.actor(scaled), self.log_std.exp())

    def value(self, observation):
        return self.critic(tensor(observation) * torch.tensor([1, 1, 1 / 8])).squeeze(-1)

    @torch.no_grad()
    def act(self, observation, explore=False):
        distribution = self.distribution(observation)
        return (distribution.sample() if explore else distribution.mean).numpy()

    def learn(self, observation, action, reward, next_observation):
        with torch.no_grad():
            target = tensor(reward) / 8 + 0.9 * self.value(next_observation)
        td_error = target - self.value(observation)
        log_prob = self.distribution(observation).log_prob(tensor(action)).sum(-1)
        step_of(self.critic_optimizer, td_error.square().mean())
        step_of(self.actor_optimizer, -(log_prob * td_error.detach()).mean())


# %% [markdown]
# The loop: act, step, learn, forget. The unit of torque is half the range, as the network's outputs
# are of the order of 1. All 16 episodes have 200 steps, so they also end together. There is no
# `terminated` in `learn`, since this task has no terminal states.


# %%
def play_on_policy(agent, num_steps, num_envs=16):
    """The returns of all episodes, in order."""
    envs = gymnasium.make_vec("Pendulum-v1", num_envs=num_envs)
    returns = []
    with footlight.seeded(envs, seed=1):
        for _ in range(num_steps // num_envs // 200):
            observation, _ = envs.reset()
            total = np.zeros(num_envs)
            for _ in range(200):
                action = agent.act(observation, explore=True)
                next_observation, reward, *_ = envs.step(np.clip(2 * action, -2, 2))
                agent.learn(observation, action, reward, next_observation)
                observation, total = next_observation, total + reward
            returns += list(total)
    return returns


# %% [markdown]
# Such loops take a minute or more. So that you can execute this page twice without waiting twice,
# the next function stores what a loop of ours has learned, in a file whose name contains a hash of
# the agent's code.


# %%
def learned(name, kind, play, amount):
    """An agent of class `kind` and its returns, after `play(agent, amount)` now or earlier."""
    methods = [part for each in kind.__mro__ for part in vars(each).values()]
    code = [inspect.getsource(part) for part in [*methods, play] if inspect.isfunction(part)
            and part.__module__ == "__main__"]  # fmt: skip
    digest = hashlib.sha256(repr((code, amount)).encode()).hexdigest()[:6]
    file = RUNS / "1" / f"{name}-{digest}.safetensors"
    torch.manual_seed(1)
    agent = kind()
    if file.exists():
        tensors = load_file(file)
        returns = tensors.pop("returns").tolist()
        agent.load_state_dict(tensors)
    else:
        returns = play(agent, amount)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({**agent.state_dict(), "returns": tensor(returns)}, file)
    return agent, returns


def solved_in(returns):
    """The first episode at which the mean of the last 100 is above the line, or None."""
    means = np.convolve(returns, np.ones(100) / 100, "valid") if len(returns) >= 100 else []
    above = np.flatnonzero(np.asarray(means) >= SOLVED)
    return int(above[0]) + 100 if len(above) else None


# %%
own_returns = {}
_, own_returns["one-step"] = learned(
    "one-step", OneStepActorCritic, play_on_policy, 6_400 if QUICK else 800_000
)
print(f"solved in episode {solved_in(own_returns['one-step'])}")
footlight.plot_returns(own_returns["one-step"], solved_at=SOLVED)

# %% [markdown]
# It works, and it is slow: every transition is used once, in one noisy gradient, and then lost.
# Single episodes still fail thousands of episodes later.
#
# ## DDPG: climb the critic
#
# Deep deterministic policy gradient keeps transitions in a replay buffer and learns $Q(s, a)$:
#
# $$y = r + \gamma\,(1 - \text{terminated})\;Q'\!\left(s', \mu'(s')\right), \qquad
#   L_Q = \left(Q(s, a) - y\right)^2, \qquad L_\mu = -Q(s, \mu(s)).$$
#
# The primed networks are *targets*: slow copies that move by a fraction $\tau$ of the distance at
# each update. Without them the critic would chase its own tail, as each update also changes the $y$
# of the next one. The policy $\mu$ is deterministic, so exploration is noise that we add.


# %%
class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(3, 1)

    def forward(self, observation):
        return 2 * torch.tanh(self.net(observation))  # torques in [-2, 2]


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(3 + 1, 1)

    def forward(self, observation, action):
        return self.net(torch.cat([observation, action], -1)).squeeze(-1)  # [B], not [B, 1]


# %% [markdown]
# The comment in the last line is about a classic mistake. With rewards of shape `[B]` and values of
# shape `[B, 1]`, the difference has shape `[B, B]`, its square is averaged without a complaint, and
# nothing is learned.


# %%
class DDPG(nn.Module):
    tau, batch_size, learning_starts = 0.01, 64, 500

    def __init__(self):
        super().__init__()
        self.actor, self.critic = Actor(), Critic()
        self.target_actor = copy.deepcopy(self.actor)
        self.target_critic = copy.deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=1e-3)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=1e-3)
        self.buffer = footlight.ReplayBuffer(100_000, seed=1)
        self.num_updates = 0

    @torch.no_grad()
    def act(self, observation, explore=False):
        if explore and len(self.buffer) < self.learning_starts:
            return np.random.uniform(-2, 2, 1)
        action = self.actor(tensor(observation)).numpy()
        return np.clip(action + 0.2 * np.random.randn(1), -2, 2) if explore else action

    def observe(self, *transition):
        self.buffer.add(*transition)
        if len(self.buffer) >= self.learning_starts:
            self.num_updates += 1
            self.learn(self.buffer.sample(self.batch_size))

    def learn(self, batch):
        with torch.no_grad():
            next_action = self.target_actor(batch.next_observation)
            next_value = self.target_critic(batch.next_observation, next_action)
            target = batch.reward + GAMMA * (1 - batch.terminated) * next_value
        critic_loss = functional.mse_loss(self.critic(batch.observation, batch.action), target)
        step_of(self.critic_optimizer, critic_loss)
        climbed = self.critic(batch.observation, self.actor(batch.observation))
        step_of(self.actor_optimizer, -climbed.mean())
        footlight.soft_update(self.target_actor, self.actor, self.tau)
        footlight.soft_update(self.target_critic, self.critic, self.tau)


# %%
def play(agent, num_episodes):
    """The returns of the episodes, while the agent learns at every step."""
    returns = []
    with footlight.seeded("Pendulum-v1", seed=1) as env:
        for _ in range(num_episodes):
            observation, _ = env.reset()
            total, truncated = 0.0, False
            while not truncated:
                action = agent.act(observation, explore=True)
                next_observation, reward, terminated, truncated, _ = env.step(action)
                agent.observe(observation, action, reward, next_observation, terminated)
                observation, total = next_observation, total + reward
            returns.append(total)
    return returns


# %%
EPISODES = 4 if QUICK else 130
ddpg, own_returns["DDPG"] = learned("ddpg", DDPG, play, EPISODES)
print(f"solved in episode {solved_in(own_returns['DDPG'])}")

# %% [markdown]
# ## TD3: three corrections
#
# A critic that is trained on its own maximum is optimistic: where $Q$ is too large by accident, the
# actor goes there, and the error enters the next target. Twin delayed DDPG changes three things:
#
# 1. **Two critics**, and the smaller of the two in the target:
#    $y = r + \gamma\,(1 - \text{terminated}) \min_i Q'_i(s', a')$. An accident has to happen
#    in both to be believed.
# 2. **Smoothed targets**: $a' = \mu'(s') + \epsilon$ with clipped noise $\epsilon$. A narrow peak
#    of $Q$ is averaged with its surroundings.
# 3. **Delay**: actor and targets move only at every second update of the critics.


# %%
class TD3(DDPG):
    def __init__(self):
        super().__init__()
        self.second = Critic()
        self.target_second = copy.deepcopy(self.second)
        critics = [*self.critic.parameters(), *self.second.parameters()]
        self.critic_optimizer = torch.optim.Adam(critics, lr=1e-3)

    def learn(self, batch):
        with torch.no_grad():
            next_action = self.target_actor(batch.next_observation)
            noise = (0.4 * torch.randn_like(next_action)).clamp(-1, 1)
            pair = batch.next_observation, (next_action + noise).clamp(-2, 2)
            next_value = torch.minimum(self.target_critic(*pair), self.target_second(*pair))
            target = batch.reward + GAMMA * (1 - batch.terminated) * next_value
        critic_loss = sum(
            functional.mse_loss(critic(batch.observation, batch.action), target)
            for critic in (self.critic, self.second)
        )
        step_of(self.critic_optimizer, critic_loss)
        if self.num_updates % 2 == 0:
            climbed = self.critic(batch.observation, self.actor(batch.observation))
            step_of(self.actor_optimizer, -climbed.mean())
            footlight.soft_update(self.target_actor, self.actor, self.tau)
            footlight.soft_update(self.target_critic, self.critic, self.tau)
            footlight.soft_update(self.target_second, self.second, self.tau)


# %%
td3, own_returns["TD3"] = learned("td3", TD3, play, EPISODES)
print(f"solved in episode {solved_in(own_returns['TD3'])}")

# %% [markdown]
# ## SAC: reward and entropy
#
# Soft actor-critic keeps the two critics and makes the policy stochastic again. Besides the reward
# it maximizes $\alpha$ times the entropy of the policy, so it explores by itself, and as long as
# two actions are equally good it does not commit to one of them:
#
# $$y = r + \gamma\,(1 - \text{terminated})
#   \left(\min_i Q'_i(s', a') - \alpha \log \pi(a'|s')\right), \quad a' \sim \pi(\cdot|s'),$$
#
# $$L_\pi = \alpha \log \pi(a|s) - \min_i Q_i(s, a), \quad
#   a = 2\tanh(m(s) + \sigma(s)\,\epsilon), \quad \epsilon \sim \mathcal{N}(0, 1).$$
#
# Written like this, the action is a differentiable function of the noise $\epsilon$ (the
# *reparameterization trick*), and the gradient runs through $Q$ as in DDPG. [Lesson 3](
# 3-soft-actor-critic.ipynb) takes SAC apart; here the temperature is fixed, $\alpha = 0.2$.


# %%
class SAC(TD3):
    alpha = 0.2

    def __init__(self):
        super().__init__()
        self.actor = mlp(3, 2)  # mean and log standard deviation; no target actor
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=1e-3)

    def sample(self, observation):
        mean, log_std = self.actor(observation).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        before_tanh = normal.rsample()
        action = torch.tanh(before_tanh)
        # The density of tanh(x) is that of x, divided by the slope of tanh
        log_prob = normal.log_prob(before_tanh) - torch.log(1 - action.square() + 1e-6)
        return 2 * action, log_prob.sum(-1)

    @torch.no_grad()
    def act(self, observation, explore=False):
        if explore and len(self.buffer) < self.learning_starts:
            return np.random.uniform(-2, 2, 1)
        if explore:
            return self.sample(tensor(observation))[0].numpy()
        return 2 * torch.tanh(self.actor(tensor(observation))[:1]).numpy()

    def learn(self, batch):
        with torch.no_grad():
            next_action, next_log_prob = self.sample(batch.next_observation)
            pair = batch.next_observation, next_action
            next_value = torch.minimum(self.target_critic(*pair), self.target_second(*pair))
            soft_value = next_value - self.alpha * next_log_prob
            target = batch.reward + GAMMA * (1 - batch.terminated) * soft_value
        critic_loss = sum(
            functional.mse_loss(critic(batch.observation, batch.action), target)
            for critic in (self.critic, self.second)
        )
        step_of(self.critic_optimizer, critic_loss)
        action, log_prob = self.sample(batch.observation)
        pair = batch.observation, action
        value = torch.minimum(self.critic(*pair), self.second(*pair))
        step_of(self.actor_optimizer, (self.alpha * log_prob - value).mean())
        footlight.soft_update(self.target_critic, self.critic, self.tau)
        footlight.soft_update(self.target_second, self.second, self.tau)


# %%
sac, own_returns["SAC"] = learned("sac", SAC, play, EPISODES)
print(f"solved in episode {solved_in(own_returns['SAC'])}")

# %% [markdown]
# ## The family portrait
#
# All four, each episode counted, from the first random one on. The off-policy three have played 130
# episodes; of the one-step method's 4,000 the first 400 are drawn. (DDPG's curve is there, too:
# SAC's covers it.)

# %%
figure = footlight.plot_returns(
    {label: returns[: 4 if QUICK else 400] for label, returns in own_returns.items()},
    window=100, solved_at=SOLVED,
)  # fmt: skip
figure

# %%
for label, returns in own_returns.items():
    print(
        f"{label:<9} solved in episode {solved_in(returns)}, "
        f"mean of its last 100 episodes {np.mean(returns[-100:]):.0f}"
    )
later = float(np.mean(own_returns["one-step"][0 if QUICK else 500 :]))
print(f"one-step after its first 500 episodes: mean {later:.0f}")

# %% [markdown]
# DDPG, TD3 and SAC are above the line as soon as there are 100 episodes to average, and their last
# 100 episodes are at about $-150$, as good as it gets. The one-step method needs more than three
# times as many episodes to cross the line, and then stays at about $-180$ for thousands of
# episodes. These are single runs, but the gap is wide. A replay buffer makes it possible: each
# transition is used about 64 times instead of once.
#
# And what does it look like? The SAC agent that you have just written, without its noise:

# %%
footlight.simulate("Pendulum-v1", sac.act, seed=3, max_steps=LENGTH)

# %% [markdown]
# ## The same in one line each
#
# footlight has these algorithms built in, with the whole update compiled into one graph, logs,
# checkpoints and evaluations. The fields have the names that you have used above.

# %%
SETTINGS = {
    "hidden_sizes": (64, 64), "batch_size": 128, "learning_rate": 1e-3, "learning_starts": 500,
    "compile": "on",
}  # fmt: skip
library = {
    name: trained(
        f"1/long-{name}", name, "Pendulum-v1", **SETTINGS, steps=25_000, seed=1, gamma=0.98
    )
    for name in ("ddpg", "td3", "sac")
}
library["actor-critic"] = trained(
    "1/long-actor-critic", "actor-critic", "Pendulum-v1",
    preset=True, hidden_sizes=(64, 64), seed=1, compile="on",
)  # fmt: skip

# %%
episodes = {name: [row["return"] for row in run.episodes()] for name, run in library.items()}
for name, run in library.items():
    final = run.result["final_evaluation"]
    print(
        f"{name:<13} solved in episode {solved_in(episodes[name])}, "
        f"final evaluation {final['mean_return']:.0f} ± {final['std_return']:.0f}"
    )
footlight.plot_returns({name: episodes[name] for name in ("ddpg", "td3", "sac")}, solved_at=SOLVED)

# %% [markdown]
# `trained` is `footlight.train` with a folder name in front, so that the run is found again. What
# you would type, for networks of the library's default size, is
#
# ```python
# run = footlight.train("sac", "Pendulum-v1", steps=25_000, seed=1, gamma=0.98)
# run.plot()
# run.video()
# ```
#
# ## What is each trick of TD3 worth?
#
# The way to find out is to switch one off at a time and leave everything else as it is, over
# several seeds: in one run, luck is larger than most tricks. These runs have the library's default
# discount of 0.99. Each trick is a field of the config:
#
# * `policy_delay=1`: no delay;
# * `target_policy_noise=0.0`: no smoothing;
# * `num_critics=1`: no second critic;
# * all three off: that is DDPG.

# %%
VARIANTS = {
    "TD3": ("td3", "td3", {}),
    "no delay": ("no-delay", "td3", {"policy_delay": 1}),
    "no smoothing": ("no-smoothing", "td3", {"target_policy_noise": 0.0}),
    "one critic": ("one-critic", "td3", {"num_critics": 1}),
    "DDPG": ("ddpg", "ddpg", {}),
}
SEEDS = (1, 2) if QUICK else (1, 2, 3, 4, 5)
tricks = {
    label: [
        trained(
            f"1/{name}-{seed}", algorithm, "Pendulum-v1",
            **SETTINGS, steps=8_000, eval_every=1_000, seed=seed, **change,
        )
        for seed in SEEDS
    ]
    for label, (name, algorithm, change) in VARIANTS.items()
}  # fmt: skip

# %% [markdown]
# Three numbers of each run: the mean return of the final evaluation; the area under the learning
# curve, as the mean of all evaluations (how *fast* it was); and the mean value that the critic
# estimates at the end (Q). For each setting, the mean over five seeds and its 95 % interval, from
# Student's t distribution (2.78 standard errors for five seeds).


# %%
def interval(values):
    """Mean and half of the 95 % interval of the mean of five values."""
    values = np.asarray(values)
    return values.mean(), 2.776 * values.std(ddof=1) / np.sqrt(len(values))


finals = {
    label: [run.result["final_evaluation"]["mean_return"] for run in runs]
    for label, runs in tricks.items()
}
areas = {
    label: [np.mean([row["mean_return"] for row in run.evaluations()]) for run in runs]
    for label, runs in tricks.items()
}
values = {label: [run.metrics()[-1]["q_mean"] for run in runs] for label, runs in tricks.items()}
for label in VARIANTS:
    texts = [
        f"{name} {mean:.{digits}f} ± {half:.{digits}f}"
        for name, table, digits in (("final", finals, 0), ("area", areas, 0), ("Q", values, 1))
        for mean, half in [interval(table[label])]
    ]
    seeds = ", ".join(f"{each:.0f}" for each in finals[label])
    print(f"{label:<13} {texts[0]:<17} {texts[1]:<17} {texts[2]:<16} seeds {seeds}")

# Runs of the same seed are evaluated from the same starts, so their differences say more
changes = {label: np.subtract(finals[label], finals["TD3"]) for label in list(VARIANTS)[1:]}
for label, differences in changes.items():
    mean, half = interval(differences)
    print(f"{label:<13} final return minus that of TD3, seed by seed: {mean:+.0f} ± {half:.0f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(3, 2))
for label, runs in tricks.items():
    table = np.array([[row["mean_return"] for row in run.evaluations()] for run in runs])
    steps = [row["step"] for row in runs[0].evaluations()]
    left.plot(steps, table.mean(0), marker=".", label=label)
left.set(xlabel="step", ylabel="return of evaluations, mean of the seeds")
left.legend()
for row, label in enumerate(VARIANTS):
    mean, half = interval(finals[label])
    right.errorbar(mean, row, xerr=half, fmt="o", color=f"C{row}", capsize=4)
    right.scatter(finals[label], np.full(len(SEEDS), row + 0.2), s=14, color=f"C{row}", alpha=0.5)
right.set(xlabel="final return: mean, 95 % interval, seeds")
right.set_yticks(range(len(VARIANTS)), VARIANTS)
right.invert_yaxis()
figure.tight_layout()
plt.show()

# %% [markdown]
# Read the figure before you read on. What does it say?
#
# * **Final returns**: all five intervals overlap, and the differences from TD3, seed by seed, all
#   have an interval that includes 0. After 8,000 steps this experiment cannot tell TD3 from TD3
#   without a trick, nor from DDPG. If anything, DDPG is the steadiest here.
# * **Speed**: this difference is real. The two settings that update the actor at every step (no
#   delay, DDPG) rise much earlier, and their intervals of the area do not overlap TD3's. Delay
#   costs time: the actor and all targets take half as many steps.
# * **Values**: with one critic the mean Q is higher, as the theory of overestimation says, but the
#   intervals overlap here as well. Smoothing makes no difference that can be seen in any column.
#
# So on the pendulum, no benefit of TD3's tricks shows, and the delay costs speed. That is no
# argument against TD3: it was designed for tasks with many joints and long training, where an
# optimistic critic has time to do damage. It is an argument for measuring on *your* task, with
# several seeds. Look at the single seeds: "no smoothing" has one of $-116$ and one of $-479$. With
# one seed, you could have published either.


# %%
def claim(is_true, words):
    """One claim of the text; in quick mode nothing has been learned, and nothing is claimed."""
    assert QUICK or is_true, words
    print("skipped:" if QUICK else "true:", words)


off_policy = ("DDPG", "TD3", "SAC")
means = {label: float(np.mean(returns[-100:])) for label, returns in own_returns.items()}
claim(np.mean(random_returns) < -1_000, "random torques are below -1000")
claim(
    all(solved_in(returns) for returns in own_returns.values()), "all four of ours solve the task"
)
claim(
    all((solved_in(own_returns[label]) or 999) <= 110 for label in off_policy),
    "the off-policy three are above the line as soon as 100 episodes can be averaged",
)
claim((solved_in(own_returns["one-step"]) or 0) > 300, "one-step needs three times as many")
claim(all(means[label] > -170 for label in off_policy), "far past the line: above -170")
claim(-200 < later < -160, "one-step stays at about -180")
claim(min(own_returns["one-step"][2_000:] or [0]) < -1_000, "single one-step episodes still fail")
claim(all(solved_in(each) for each in episodes.values()), "the library's four solve it, too")
claim(
    all(
        library[name].result["final_evaluation"]["mean_return"] > -170
        for name in ("ddpg", "td3", "sac")
    ),
    "the library's off-policy three end above -170",
)
low = {label: np.subtract(*interval(finals[label])) for label in VARIANTS}
high = {label: np.add(*interval(finals[label])) for label in VARIANTS}
claim(max(low.values()) < min(high.values()), "all intervals of the final returns overlap")
claim(
    all(abs(mean) < half for mean, half in map(interval, changes.values())),
    "the intervals of all differences from TD3 include 0",
)
slow_high = np.add(*interval(areas["TD3"]))
for label in ("no delay", "DDPG"):
    claim(np.subtract(*interval(areas[label])) > slow_high, f"{label} is faster than TD3")
claim(
    interval(values["one critic"])[0] > interval(values["TD3"])[0]
    and np.subtract(*interval(values["one critic"])) < np.add(*interval(values["TD3"])),
    "one critic estimates higher values, within overlapping intervals",
)

# %% [markdown]
# ## Exercises
#
# 1. **Truncated is not terminated.** Suppose each step costs 1, forever, and $\gamma = 0.98$. What
#    is the true value of a state? What would a critic learn of the states 1, 10 and 50 steps before
#    the end, if `truncated` were treated like `terminated`?
# 2. **The silent mistake.** Compute the squared error of values of shape `[B, 1]` and targets of
#    shape `[B]`, for a critic that is *perfect*. How large is it?
# 3. **Beat them without learning.** Write a policy by hand: pump energy into the pendulum until it
#    is up, then balance it. Hint: the energy grows if torque and $\dot\theta$ have the same sign.
# 4. **Four critics.** Try `num_critics=4` with seed 1. What happens to the mean Q, and why?
#
# ## Solutions

# %% jupyter={"source_hidden": true}
# @title Solution 1 { display-mode: "form" }
true_value = -1 / (1 - 0.98)
cut_values = {left: -(1 - 0.98**left) / (1 - 0.98) for left in (1, 10, 50)}
print(f"true value {true_value:.0f}")
for steps_left, value in cut_values.items():
    print(f"{steps_left} steps before the end: {value:.1f}")

# %% [markdown]
# The true value is $-50$ everywhere. The critic would see $-1$, $-9.1$ and $-31.8$: far too good,
# in states that look like all others, since the observation does not contain the time. The states
# are the same, so it would learn some average of all these numbers.

# %% jupyter={"source_hidden": true}
# @title Solution 2 { display-mode: "form" }
targets = torch.randn(1_000, generator=torch.Generator().manual_seed(0))
perfect = targets[:, None]  # a critic without squeeze(-1)
silent = (perfect - targets).square()
print(f"shape {list(silent.shape)}, mean {silent.mean():.2f} instead of 0")

# %% [markdown]
# Every value is compared with every target, and the error is twice the variance of the targets. The
# best that such a critic can do is to predict the mean of the batch for every state.

# %% jupyter={"source_hidden": true}
# @title Solution 3 { display-mode: "form" }


def by_hand(observation):
    cos, sin, speed = observation
    angle = np.arctan2(sin, cos)
    if abs(angle) < 0.5:  # near the top: a spring and a damper
        return np.clip([-(16 * angle + 4 * speed)], -2, 2)
    # Energy relative to standing upright at rest, for g = 10 and m = l = 1
    energy = speed**2 / 6 + 5 * (cos - 1)
    return np.clip([-8 * energy * (1 if speed >= 0 else -1)], -2, 2)


with footlight.seeded("Pendulum-v1", seed=100) as env:
    by_hand_returns = []
    for _ in range(3 if QUICK else 50):
        observation, _ = env.reset()
        total = 0.0
        for _ in range(200):
            observation, reward, *_ = env.step(by_hand(observation))
            total += reward
        by_hand_returns.append(total)
print(f"by hand: mean return {np.mean(by_hand_returns):.0f}")

# %% [markdown]
# About $-150$, like the learned ones. They have found what takes an engineer an equation and a few
# tries, from rewards alone.

# %% jupyter={"source_hidden": true}
# @title Solution 4 { display-mode: "form" }
four = trained(
    "1/four-critics-1", "td3", "Pendulum-v1",
    **SETTINGS, steps=8_000, eval_every=1_000, seed=1, num_critics=4,
)  # fmt: skip
for label, run in {"2 critics": tricks["TD3"][0], "4 critics": four}.items():
    print(
        f"{label}: final return {run.result['final_evaluation']['mean_return']:.0f}, "
        f"mean Q {run.metrics()[-1]['q_mean']:.1f}"
    )

# %% [markdown]
# In this one run, hardly anything: the mean Q is a little lower. The minimum of four critics is
# more pessimistic than that of two only as far as the critics disagree.
