"""PPO of Stable-Baselines3 on footlight's own Atari environment, with footlight's preset: is it the algorithm or the code?

    python benchmarks/ppo_pixels.py footlight ALE/Breakout-v5 --seed 1 --steps 1000000 --output footlight-1.jsonl
    python benchmarks/ppo_pixels.py sb3 ALE/Breakout-v5 --seed 1 --steps 1000000 --output sb3-1.jsonl

Both play the same games: preprocessing, sticky actions, fire, lost lives, clipped rewards. Runs under an interpreter that has
Stable-Baselines3 and footlight. One line for every 50,000 steps: the mean score of the games that ended within them; and at every
200,000, of 20 whole games with actions sampled.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import footlight
from footlight.environments.make import configured, make_for_evaluation
from footlight.evaluation import evaluate

WINDOW, EVAL_EVERY, EPISODES = 50_000, 200_000, 20


def train_footlight(game: str, seed: int, steps: int, output: Path, fields: dict[str, Any]) -> None:
    """The built-in loop; its logs are in the run folder."""
    run = footlight.train(
        "ppo", game, steps=steps, seed=seed, threads=1, compile="on", eval_every=EVAL_EVERY, eval_episodes=EPISODES,
        checkpoint_every=EVAL_EVERY, run_dir=output.with_suffix(""), **fields,
    )  # fmt: skip
    print(run.result)


def train_sb3(game: str, seed: int, steps: int, output: Path, fields: dict[str, Any]) -> None:
    """SB3's `learn` around footlight's games."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv

    torch.set_num_threads(1)
    source: Any = configured(game, {"life_loss_ends": True})

    class Games(VecEnv):
        """`AtariVector` behind SB3's interface, which resets an ended game in the same step."""

        def __init__(self, num_envs: int) -> None:
            self.games = source.vector(num_envs)
            self.render_mode = None
            super().__init__(num_envs, self.games.single_observation_space, self.games.single_action_space)
            self.score, self.scores = np.zeros(num_envs), []

        def reset(self) -> Any:
            return self.games.reset(seed=[1_000 * seed + index for index in range(self.num_envs)])[0]

        def step_async(self, actions: Any) -> None:
            self.actions = actions

        def step_wait(self) -> Any:
            observation, reward, terminated, truncated, info = self.games.step(self.actions)
            lost = info.get("footlight.life_lost", np.zeros(self.num_envs, bool))
            self.score += reward
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            over = terminated | truncated
            for env in np.flatnonzero(over | lost):
                infos[env] = {"terminal_observation": observation[env], "TimeLimit.truncated": bool(truncated[env])}
            if over.any():
                self.scores += self.score[over].tolist()
                self.score[over] = 0
                observation = self.games.reset(options={"reset_mask": over})[0]
            return observation, np.clip(reward, -1, 1).astype(np.float32), over | lost, infos

        def close(self) -> None:
            self.games.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> Any:
            return [getattr(self, attr_name, None)] * self.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
            raise NotImplementedError

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    class Curve(BaseCallback):
        """Writes the lines."""

        seen, started = 0, time.time()

        def _on_step(self) -> bool:
            step = self.num_timesteps
            if step // WINDOW > self.seen // WINDOW or step >= steps:
                row: dict[str, Any] = {"step": step, "time_s": time.time() - self.started, "games": len(env.scores)}
                row["training_return"] = float(np.mean(env.scores)) if env.scores else None
                row |= {name: float(value) for name, value in self.logger.name_to_value.items() if name.startswith("train/")}
                env.scores.clear()
                if step // EVAL_EVERY > self.seen // EVAL_EVERY or step >= steps:
                    games = make_for_evaluation(source, seed, "evaluation", EPISODES)
                    policy: Any = type("Policy", (), {"act": lambda self, x, deterministic: model.predict(x)[0]})()
                    row["evaluation"] = evaluate(policy, games, EPISODES).returns
                    games.close()
                with output.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                self.seen = step
            return True

    env = Games(8)
    model = PPO(
        "CnnPolicy", env, seed=seed, device="cpu", n_steps=128, n_epochs=4, batch_size=256, ent_coef=0.01, vf_coef=0.5,
        max_grad_norm=0.5, gamma=0.99, gae_lambda=0.95, learning_rate=lambda left: 2.5e-4 * max(left, 0.0),
        clip_range=lambda left: 1e-3 + (0.1 - 1e-3) * max(left, 0.0), **fields,
    )  # fmt: skip
    model.learn(steps, callback=Curve(), log_interval=None)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=("footlight", "sb3"))
    parser.add_argument("game")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fields", type=json.loads, default={}, help="further hyperparameters, in the library's words")
    given = parser.parse_args()
    train = train_footlight if given.library == "footlight" else train_sb3
    train(given.game, given.seed, given.steps, given.output, given.fields)


if __name__ == "__main__":
    main()
