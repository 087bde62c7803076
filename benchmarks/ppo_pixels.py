"""PPO of Stable-Baselines3 on footlight's Atari games with footlight's preset: algorithm or code?

    python benchmarks/ppo_pixels.py footlight --seed 1 --steps 1000000 --output footlight-1.jsonl
    python benchmarks/ppo_pixels.py sb3 --seed 1 --steps 1000000 --output sb3-1.jsonl
    python benchmarks/ppo_pixels.py parity

Both play the same games of Breakout: preprocessing, sticky actions, fire, lost lives, clipped
rewards. Training writes a line every 50,000 steps with the mean score of the games that ended in
them, and every 200,000 steps that of 20 complete games with sampled actions. `parity` gives both
libraries the same weights and rollouts, and compares the parameters after the
updates. Runs under an interpreter that has both libraries (see peers.txt).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv

import footlight
from footlight.algorithms import ppo
from footlight.environments.atari import AtariConfig, AtariGame
from footlight.environments.infos import LIFE_LOST
from footlight.environments.make import make_for_evaluation
from footlight.environments.spaces import describe
from footlight.training.evaluation import evaluate
from footlight.types import Decision, Minibatch, RolloutBatch, Transition

GAME = AtariGame("ALE/Breakout-v5", AtariConfig(life_loss_ends=True))
NUM_ENVS, N_STEPS, NUM_EPOCHS, MINIBATCH = 8, 128, 4, 256
WINDOW, EVAL_EVERY, EPISODES = 50_000, 200_000, 20


class Games(VecEnv):
    """`AtariVector` behind SB3's interface, which resets an ended game in the same step."""

    def __init__(self, seed: int) -> None:
        self.games, self.seed_of_run, self.render_mode = GAME.vector(NUM_ENVS), seed, None
        super().__init__(
            NUM_ENVS, self.games.single_observation_space, self.games.single_action_space
        )
        self.score = np.zeros(NUM_ENVS)  # of the games under way
        self.scores: list[float] = []  # of those that ended

    def reset(self) -> Any:
        return self.games.reset(
            seed=[1_000 * self.seed_of_run + index for index in range(NUM_ENVS)]
        )[0]

    def step_async(self, actions: Any) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        observation, reward, terminated, truncated, info = self.games.step(self.actions)
        lost, over = info.get(LIFE_LOST, np.zeros(NUM_ENVS, bool)), terminated | truncated
        self.score += reward
        infos: list[dict[str, Any]] = [{} for _ in range(NUM_ENVS)]
        for env in np.flatnonzero(over | lost):
            infos[env] = {
                "terminal_observation": observation[env],
                "TimeLimit.truncated": bool(truncated[env]),
            }
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


class Sampling:
    """An SB3 model behind the interface of `footlight.Policy`: sampled actions, no memory."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        return self.model.predict(observation)[0]

    def reset(self, ended: Any = None) -> None:
        pass


class Curve(BaseCallback):
    """Writes the lines of a training."""

    def __init__(self, seed: int, steps: int, output: Path) -> None:
        super().__init__()
        self.seed, self.steps, self.output = seed, steps, output
        self.last, self.started = 0, time.time()

    def _on_step(self) -> bool:
        step = self.num_timesteps
        if step // WINDOW == self.last // WINDOW and step < self.steps:
            return True
        scores = self.training_env.scores
        row: dict[str, Any] = {
            "step": step,
            "time_s": time.time() - self.started,
            "games": len(scores),
        }
        row["training_return"] = float(np.mean(scores)) if scores else None
        row |= {
            name: float(value)
            for name, value in self.logger.name_to_value.items()
            if name.startswith("train/")
        }
        scores.clear()
        if step // EVAL_EVERY > self.last // EVAL_EVERY or step >= self.steps:
            games = make_for_evaluation(GAME, self.seed, "evaluation", EPISODES)
            policy: Any = Sampling(self.model)
            row["evaluation"] = evaluate(policy, games, EPISODES).returns
            games.close()
        with self.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.last = step
        return step < self.steps  # SB3 itself would go on to the end of the rollout


def make_sb3(seed: int, epsilon: float = 1e-5, **fields: Any) -> Any:
    """SB3's PPO with the values of the preset ppo/ALE/*."""
    torch.set_num_threads(1)
    return PPO(
        "CnnPolicy", Games(seed), seed=seed, device="cpu", n_steps=N_STEPS, n_epochs=NUM_EPOCHS,
        batch_size=MINIBATCH,
        ent_coef=0.01, vf_coef=0.5, max_grad_norm=0.5, gamma=0.99, gae_lambda=0.95,
        learning_rate=lambda left: 2.5e-4 * max(left, 0.0),
        clip_range=lambda left: 1e-3 + (0.1 - 1e-3) * max(left, 0.0),
        policy_kwargs={"optimizer_kwargs": {"eps": epsilon}}, **fields,
    )  # fmt: skip


def train_footlight(seed: int, steps: int, output: Path, fields: dict[str, Any]) -> None:
    """The built-in loop; its logs are in the run folder, its curve is made from them."""
    folder = output.with_suffix("")
    footlight.train(
        "ppo", GAME.id, steps=steps, seed=seed, threads=1, compile="on", eval_every=EVAL_EVERY,
        eval_episodes=EPISODES,
        checkpoint_every=EVAL_EVERY, run_dir=folder, **fields,
    )  # fmt: skip
    write_curve(folder, output)


def write_curve(folder: Path, output: Path) -> None:
    """The lines of footlight's training, from the logs in its run folder."""
    episodes = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    rows = []
    for step in range(WINDOW, max(row["step"] for row in episodes) + 1, WINDOW):
        scores = [row["return"] for row in episodes if step - WINDOW < row["step"] <= step]
        rows.append(
            {
                "step": step,
                "games": len(scores),
                "training_return": float(np.mean(scores)) if scores else None,
            }
        )
    output.write_text("".join(json.dumps(row) + "\n" for row in rows))


def train_sb3(seed: int, steps: int, output: Path, fields: dict[str, Any]) -> None:
    """SB3's `learn`."""
    make_sb3(seed, **fields).learn(steps, callback=Curve(seed, steps, output), log_interval=None)


def parity(epsilon: float, rollouts: int = 3) -> None:
    """Print the distance between both libraries' parameters after each rollout."""
    model = make_sb3(1, epsilon)
    model.set_logger(configure(None, []))
    spaces = describe(model.observation_space, model.action_space)
    config = ppo.Config(
        n_steps=N_STEPS,
        num_epochs=NUM_EPOCHS,
        minibatch_size=MINIBATCH,
        learning_rate=2.5e-4,
        learning_rate_schedule="linear",
        entropy_coef=0.01,
        clip_range=0.1,
        final_clip_range=1e-3,
        torso="nature",
        hidden_sizes=(512,),
        activation="relu",
        shared_torso=True,
        optimizer_epsilon=epsilon,
    )
    algorithm = ppo.PPO.create(config, spaces)
    network = algorithm.networks.actor_critic
    theirs = dict(model.policy.named_parameters())
    order = [name for name in theirs if name.startswith("features_extractor.")]
    order += ["action_net.weight", "action_net.bias", "value_net.weight", "value_net.bias"]

    def sb3_parameters() -> torch.Tensor:
        names = zip(network.unflatten(network.initial), order, strict=True)
        return network.flatten({ours: theirs[name].detach() for ours, name in names})

    state, buffer = algorithm.init(NUM_ENVS), algorithm.buffer(NUM_ENVS)
    start = sb3_parameters()
    state.actor_critic.copy_(start)
    observation, first = model.env.reset(), np.ones(NUM_ENVS, np.float32)
    generator, noise = np.random.default_rng(0), {"entropy": torch.zeros(MINIBATCH, 0)}
    for rollout in range(rollouts):
        observation, first = collect(model, buffer, observation, first)
        orders = [generator.permutation(N_STEPS * NUM_ENVS) for _ in range(NUM_EPOCHS)]
        model._current_progress_remaining = 1 - rollout / 20
        state.progress.fill_(rollout / 20)
        with mock.patch("numpy.random.permutation", side_effect=orders):
            model.train()
        batch = RolloutBatch(*(torch.from_numpy(array) for array in buffer.batch))
        for number, rows in enumerate(np.concatenate(orders).reshape(-1, MINIBATCH)):
            # SB3 counts rows environment by environment
            batch.rows.copy_(torch.from_numpy(rows % N_STEPS * NUM_ENVS + rows // N_STEPS))
            algorithm.updates[algorithm.update_for(Minibatch(number))](state, batch, noise)
        moved, apart = sb3_parameters() - start, sb3_parameters() - state.actor_critic
        print(
            f"epsilon {epsilon:g}, rollout {rollout + 1}: moved {moved.norm():.3g}, "
            f"apart {apart.norm():.2g}"
        )


def collect(model: Any, buffer: Any, observation: Any, first: Any) -> tuple[Any, Any]:
    """One rollout by SB3's policy into the buffers of both."""
    model.rollout_buffer.reset()
    buffer.restore(buffer.arrays(), {"num_steps": 0, "filled": 0})
    for _ in range(N_STEPS):
        with torch.no_grad():
            action, value, log_prob = model.policy(torch.as_tensor(observation))
        action = action.numpy()
        successor, reward, ended, _ = model.env.step(action)
        model.rollout_buffer.add(observation, action[:, None], reward, first, value, log_prob)
        never = np.zeros(NUM_ENVS, bool)
        buffer.add(
            Transition(observation, action, reward, successor.copy(), ended, never),
            Decision(action[:, None]),
        )
        observation, first = successor, ended.astype(np.float32)
    with torch.no_grad():
        last_value = model.policy.predict_values(torch.as_tensor(observation))
    model.rollout_buffer.compute_returns_and_advantage(last_value, first)
    return observation, first


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("footlight", "sb3", "parity"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=Path("curve.jsonl"))
    parser.add_argument(
        "--fields",
        type=json.loads,
        default={},
        help="further hyperparameters, in the library's words",
    )
    given = parser.parse_args()
    if given.what == "parity":
        # The smaller, the more Adam makes of how small gradients are rounded
        for epsilon in (1e-5, 1e-2, 1.0):
            parity(epsilon)
    else:
        train = train_footlight if given.what == "footlight" else train_sb3
        train(given.seed, given.steps, given.output, given.fields)


if __name__ == "__main__":
    main()
