"""One update of DDPG, computed by hand."""

from constant import Deterministic, named, off_policy, transitions

from tolerance import close


def test_update_by_hand() -> None:
    agent = off_policy("ddpg", Deterministic)
    metrics = agent.algorithm.update_critic_and_actor(agent.state, transitions(), {}).metrics
    # Q'(s', 0.25) = 2.75: targets 1 + 0.5 * 2.75 = 2.375 and 1, while Q(s, 0) = 2
    assert metrics["target_q_mean"].item() == close(1.6875)
    assert metrics["critic_loss"].item() == close((0.375**2 + 1) / 2)
    # Gradient 2 (2 - 1.6875) of q; none of the slope, as the actions are 0
    critic = named(agent.networks.critic, agent.state.critic)
    assert critic == {"q": close([2 - 0.1 * 0.625]), "slope": [3.0]}
    # The actor's gradient is minus the slope
    assert metrics["actor_loss"].item() == close(-(1.9375 + 0.75), scale=3)
    assert agent.state.actor.tolist() == close([0.25 + 0.1 * 3])
    # Targets move half of the way
    assert agent.state.target_actor.tolist() == close([0.25 + 0.15])
    target = named(agent.networks.critic, agent.state.target_critic)
    assert target["q"] == close([2 - 0.1 * 0.625 / 2])


def test_metrics_are_those_that_it_names() -> None:
    agent = off_policy("ddpg", Deterministic)
    metrics = agent.algorithm.update_critic_and_actor(agent.state, transitions(), {}).metrics
    assert set(metrics) == set(agent.algorithm.METRICS)
