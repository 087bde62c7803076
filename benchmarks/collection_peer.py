"""SB3's side of `collection.py`: PPO or SAC in SubprocVecEnv. Prints one JSON line.

    python benchmarks/collection_peer.py '{"algorithm": "ppo", "seconds": 0.001, "num": 4, ...}'

Runs under the peers' interpreter and never imports footlight.
"""

import json
import sys
import time
from functools import partial
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import SubprocVecEnv
from waiting import Waiting


class Clock(BaseCallback):  # type: ignore[misc]
    """The time since `skipped` steps were taken."""

    def __init__(self, skipped: int) -> None:
        super().__init__()
        self.skipped, self.began, self.first = skipped, 0.0, 0

    def _on_step(self) -> bool:
        if not self.began and self.num_timesteps >= self.skipped:
            self.began, self.first = time.monotonic(), self.num_timesteps
        return True


def main() -> None:
    """Train as the job says."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    envs = SubprocVecEnv([partial(Waiting, job["seconds"])] * job["num"])
    algorithm = getattr(stable_baselines3, job["algorithm"].upper())
    model = algorithm("MlpPolicy", envs, device="cpu", **job["peer"])
    clock = Clock(job["skipped"])
    model.learn(job["steps"], callback=clock)
    seconds = time.monotonic() - clock.began
    envs.close()
    print(json.dumps({"steps_per_second": (model.num_timesteps - clock.first) / seconds}))


if __name__ == "__main__":
    main()
