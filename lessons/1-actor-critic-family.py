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
