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
# # 5. Breakout from pixels
#
# An agent that sees nothing but the screen. It is the lesson in which a run most easily fails
# without a word of warning: 10,000 games, and the score is still that of a monkey. Here you will
#
# * look at what the agent sees, and write the small convolutional network that reads it,
# * train A2C on sixteen games at once, with videos, offline Weights & Biases and histograms,
# * change one setting at a time and see what each does: sticky actions, no discount, one stream, a
#   small learning rate,
# * meet streaming AC(λ), which needs neither sixteen games nor any memory, and see where it works.
#
# Lesson 4's A2C is the algorithm. Trainings take long here: about half an hour on two free cores.
# Interrupt the notebook whenever you like; executed again, it resumes.

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


def trained(name, algorithm, environment, network=None, **settings):
    """The run of this name and these settings: trained now, or earlier."""
    if QUICK:
        settings |= {"steps": 300, "eval_episodes": 1, "compile": "off"}
    settings = {"preset": False, "quiet": True, "threads": 1, **settings}
    label = algorithm if isinstance(algorithm, str) else algorithm.__name__
    words = repr((label, environment, network and network.__name__, sorted(settings.items())))
    folder = RUNS / f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:6]}"
    if not (folder / "checkpoints" / "LATEST").exists():
        return footlight.train(algorithm, environment, network=network, run_dir=folder, **settings)
    # What no file holds, such as a class of yours, is passed again.
    own = {"algorithm": None if isinstance(algorithm, str) else algorithm, "network": network}
    run = footlight.Run(folder, **own)
    is_finished = run.result is not None and run.result["status"] == "finished"
    return run if is_finished else footlight.resume(folder, quiet=True, **own)


# %%
import json

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image
from torch import nn

GAME = "ALE/Breakout-v5"

# %% [markdown]
# ## 1. What the agent sees
#
# The console draws 210 × 160 pixels in color, 60 times a second. Almost all of that is thrown away
# before the agent sees it: an action is held for four frames, of the last two the brighter pixel
# is taken (the console draws some sprites in every second frame only), the image becomes gray and
# 84 × 84, and the last **four** such images are stacked. One image shows where the ball is; four
# show where it is going.

# %%
env = footlight.make_environments(GAME, num_envs=1, seed=1)
agent = footlight.Agent("a2c", env.observation_space, env.action_space, num_envs=1, seed=1)
for step in footlight.steps(agent, env, total_steps=40):
    pass  # hardly trained: its actions are random
images = step.transition.observation[0]
env.close()

figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
for k, axis in enumerate(axes):
    axis.imshow(images[k], cmap="gray")
    axis.set(title=f"image {k + 1} of 4", xticks=[], yticks=[])
plt.show()
print(images.shape, images.dtype)

# %% [markdown]
# The four actions are *nothing*, *fire* (which serves the ball), *right* and *left*. A brick gives
# 1, 4 or 7 points by its row, and a game has five balls, called lives. Random play scores between 1
# and 2 points.

# %% [markdown]
# ## 2. The network
#
# Two convolutions and one linear layer, shared by policy and value, as in the first A3C (Mnih et
# al. 2016). Bytes become numbers between 0 and 1 *inside* the network, so that buffers store one
# byte per pixel. Orthogonal initial weights, and a last layer of the policy that is nearly zero:
# the first policy has no preference, and explores.


# %%
class ConvNet(nn.Module):
    """Logits and value of stacked images."""

    def __init__(self, observation_space, action_space):
        super().__init__()
        self.torso = nn.Sequential(
            nn.Conv2d(4, 16, kernel_size=8, stride=4), nn.ReLU(),  # 16 × 20 × 20
            nn.Conv2d(16, 32, kernel_size=4, stride=2), nn.ReLU(),  # 32 × 9 × 9
            nn.Flatten(), nn.Linear(32 * 9 * 9, 256), nn.ReLU(),
        )  # fmt: skip
        self.actor, self.critic = nn.Linear(256, int(action_space.n)), nn.Linear(256, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.orthogonal_(layer.weight, 2**0.5)
                nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(self.actor.weight, 0.01)
        nn.init.orthogonal_(self.critic.weight, 1.0)

    def forward(self, observation):
        features = self.torso(observation.float() / 255)
        return self.actor(features), self.critic(features)


# %% [markdown]
# ## 3. A recipe that learns
#
# The preset of the library for Atari games, with two differences: our smaller network, which is
# three times faster, and games without sticky actions (section 5 puts them back). Written out:
#
# | setting | value | because |
# | --- | --- | --- |
# | `num_envs` | 16 | sixteen games at different moments: 80 different rows per update |
# | `n_steps` | 5 | returns over five steps, then the critic |
# | `gamma` | 0.99 | looks about 100 steps, 7 seconds, ahead |
# | `learning_rate` | 7e-4 | RMSprop, gradients clipped at norm 0.5 |
# | `entropy_coef` | 0.01 | keeps the policy from deciding too early |
# | `clip_reward` | 1 | a brick is a brick, whatever its row |
# | `life_loss_ends` | yes | a lost ball is an end for the critic, not for the reported score |
# | `fire_reset` | yes | the ball is served; the agent need not discover the button |

# %%
RECIPE = {
    "preset": True, "num_envs": 16, "n_steps": 5, "gamma": 0.99, "learning_rate": 7e-4,
    "learning_rate_schedule": "constant", "sticky_actions": 0.0, "compile": "off", "seed": 1,
}  # fmt: skip
LONG, SHORT = LONG_STEPS, SHORT_STEPS

recipe = trained(
    "5-breakout/recipe", "a2c", GAME, network=ConvNet, **RECIPE, steps=LONG, eval_every=50_000,
    eval_episodes=5, track=("wandb",), wandb_mode="offline", track_histograms=True,
)  # fmt: skip


def curve(run, key="return", block=10_000):
    """Steps, and the mean of a quantity over each block of steps."""
    rows = run.episodes() if key == "return" else run.metrics()
    step = np.array([row["step"] for row in rows])
    value = np.array([row[key] for row in rows])
    ends = np.arange(block, run.result["steps"] + 1, block)
    means = [value[(step > end - block) & (step <= end)] for end in ends]
    return ends, np.array([mean.mean() if len(mean) else np.nan for mean in means])


def compare(runs, keys):
    """One panel for each quantity, one line for each run."""
    figure, axes = plt.subplots(1, len(keys), figsize=(9, 3.2), layout="constrained")
    for axis, (key, title) in zip(np.atleast_1d(axes), keys.items(), strict=True):
        for label, run in runs.items():
            axis.plot(*curve(run, key), label=label)
        axis.set(xlabel="steps", title=title)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k")
    np.atleast_1d(axes)[0].legend(fontsize=8)
    plt.show()
