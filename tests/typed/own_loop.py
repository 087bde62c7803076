"""A script of a user of footlight who checks types: mypy reads it, see test_types_for_users.py."""

from typing import assert_type

import gymnasium

import footlight

env = gymnasium.make("Pendulum-v1")
agent = footlight.Agent(
    "sac", env.observation_space, env.action_space, seed=1, total_steps=1_000,
    config=footlight.SACConfig(gamma=0.98, hidden_sizes=(64, 64)),
)  # fmt: skip
log = footlight.EpisodeLog("my-agent", agent)
evaluation = agent.evaluate("Pendulum-v1", episodes=5, seed=3)
assert_type(evaluation, footlight.Evaluation)
assert_type(evaluation.mean_return, float)
assert_type(agent.observe(0, 0, 0.0, 0, False, False), dict[str, float])
lengths = [episode.length for episode in log.add(0.0, True, False)]
assert_type(lengths, list[int])
agent.save("my-agent", environment=env, env_kwargs={"g": 9.0})
assert_type(footlight.Agent.load("my-agent"), footlight.Agent)
run = footlight.train(
    "sac", "Pendulum-v1", config=footlight.SACConfig(tau=0.01), options=footlight.Options(steps=10)
)
assert_type(run, footlight.Run)
assert_type(run.evaluate(), footlight.Evaluation)

footlight.SACConfig(gama=0.98)  # error: Unexpected keyword argument "gama"
footlight.SACConfig(hidden_sizes=64)  # error: incompatible type "int"
agent.evaluate("Pendulum-v1", episodes="5")  # error: incompatible type "str"
agent.save("my-agent", environment=3)  # error: incompatible type "int"
footlight.Agent("sac", env.observation_space, 3)  # error: incompatible type "int"
