"""Flat parameter vectors: there and back, ensembles against loops, and what is refused."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from footlight.networks.bodies import (
    Activation,
    ActorCritic,
    Architecture,
    DeterministicActor,
    GaussianActor,
    QCritic,
)
from footlight.networks.flat import Network
from tolerance import assert_close

SMALL = Architecture((8, 4), "tanh", norm="layer")


def critics(count: int) -> list[nn.Module]:
    return [QCritic((3,), 2, SMALL) for _ in range(count)]


def test_vector_holds_every_parameter_in_order() -> None:
    actor = DeterministicActor((3,), 2, Architecture((4,)))
    network = Network([actor])
    assert network.initial.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    # Matrices lie as [in, out]
    in_order = [(p.T if p.dim() == 2 else p).detach().flatten() for p in actor.parameters()]
    assert torch.equal(network.initial, torch.cat(in_order))


@pytest.mark.parametrize("ensemble", [False, True])
def test_named_and_flatten_are_inverse(ensemble: bool) -> None:
    network = Network(critics(3 if ensemble else 1), ensemble=ensemble)
    vector_P = torch.randn_like(network.initial)
    named = network.unflatten(vector_P)
    assert list(named) == [name for name, _ in QCritic((3,), 2, SMALL).named_parameters()]
    assert torch.equal(network.flatten(named), vector_P)
    in_another_order = dict(reversed(named.items()))  # as a file may have them
    assert torch.equal(network.flatten(in_another_order), vector_P)


def test_call_equals_the_module() -> None:
    critic, observation, action_BA = critics(1)[0], torch.randn(6, 3), torch.randn(6, 2)
    network = Network([critic])
    assert_close(
        network(network.initial, observation, action_BA),
        critic(observation, action_BA),
        terms=9,
        depth=3,
    )


def test_a_filled_module_is_a_copy_with_these_parameters() -> None:
    layer, tied = nn.Linear(4, 4), nn.Linear(4, 4)
    tied.weight = layer.weight
    network = Network([nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), layer, nn.Tanh(), tied)])
    vector_P, picture, before = (
        torch.randn_like(network.initial),
        torch.randn(5, 1, 3, 3),
        layer.weight.clone(),
    )
    filled = network.to_module(vector_P)
    assert_close(filled(picture), network(vector_P, picture), terms=9, depth=3)
    assert torch.equal(layer.weight, before)
    vector_P.zero_()
    assert filled(picture).abs().sum() > 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_ensemble_equals_a_loop_over_modules(count: int) -> None:
    modules, observation, action_BA = critics(count), torch.randn(6, 3), torch.randn(6, 2)
    network = Network(modules, ensemble=True)
    value_NB = network(network.initial, observation, action_BA)
    assert value_NB.shape == (count, 6)
    assert_close(
        value_NB,
        torch.stack([module(observation, action_BA) for module in modules]),
        terms=9,
        depth=3,
    )


def test_gradient_of_an_ensemble_equals_a_loop_over_modules() -> None:
    modules, observation, action_BA = critics(3), torch.randn(6, 3), torch.randn(6, 2)
    network = Network(modules, ensemble=True)
    gradient_P = torch.func.grad(
        lambda vector_P: network(vector_P, observation, action_BA).square().sum()
    )(network.initial)
    scale = float(gradient_P.abs().max())
    for index, module in enumerate(modules):
        module(observation, action_BA).square().sum().backward()
        mine = {name: value[index] for name, value in network.unflatten(gradient_P).items()}
        assert_close(
            mine,
            {name: parameter.grad for name, parameter in module.named_parameters()},
            terms=9,
            depth=6,
            scale=scale,
        )


def test_the_modules_own_weights_are_neither_changed_nor_used() -> None:
    actor, observation = DeterministicActor((3,), 2, SMALL), np.ones((1, 3), np.float32)
    network, before = Network([actor]), copy.deepcopy(actor.state_dict())
    network.initial.zero_()
    assert network.infer(network.initial, observation).tolist() == [[0, 0]]
    assert all(torch.equal(value, before[name]) for name, value in actor.state_dict().items())


def test_a_constant_of_the_users_is_no_hidden_state() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 1)
            self.register_buffer("scale", torch.tensor(2.0))

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return self.linear(observation) * self.scale

    modules, observation = [Scaled(), Scaled()], torch.randn(4, 3)
    network = Network(modules, ensemble=True)
    assert_close(
        network(network.initial, observation),
        torch.stack([m(observation) for m in modules]),
        terms=9,
        depth=3,
    )


@pytest.mark.parametrize("num_envs", [1, 64, 65, 200])
@pytest.mark.parametrize("activation", ["relu", "gelu"])  # gelu is run by torch whatever the size
def test_infer_equals_the_call(num_envs: int, activation: Activation) -> None:
    network = Network([GaussianActor((3,), 2, Architecture((8,), activation))])
    observation = np.random.default_rng(0).standard_normal((num_envs, 3), np.float32)
    mean, raw_log_std = network.infer(network.initial, observation)
    expected = network(network.initial, torch.from_numpy(observation))
    assert isinstance(mean, np.ndarray)
    assert_close(mean, expected[0].numpy(), terms=9, depth=3)
    assert_close(raw_log_std, expected[1].numpy(), terms=9, depth=3)


@pytest.mark.parametrize("num_envs", [1, 65])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_infer_takes_arrays_as_they_come(num_envs: int, activation: Activation) -> None:
    network = Network([DeterministicActor((3,), 2, Architecture((8,), activation))])
    observation = np.random.default_rng(0).standard_normal((num_envs, 3), np.float32)
    expected = network.infer(network.initial, observation)
    read_only = observation.copy()
    read_only.flags.writeable = False
    backwards = np.ascontiguousarray(observation[:, ::-1])[:, ::-1]
    for same in (read_only, backwards):
        assert_close(network.infer(network.initial, same), expected, terms=9, depth=3)


def test_first_is_the_first_module_of_an_ensemble() -> None:
    modules, observation, action_BA = critics(3), torch.randn(6, 3), torch.randn(6, 2)
    network = Network(modules, ensemble=True)
    assert_close(
        network.member(0, network.initial, observation, action_BA),
        modules[0](observation, action_BA),
        terms=9,
        depth=3,
    )
    gradient_P = torch.func.grad(
        lambda vector_P: network.member(0, vector_P, observation, action_BA).sum()
    )(network.initial)
    for stacked in network.unflatten(gradient_P).values():
        assert not stacked[1:].any()


@pytest.mark.parametrize("shared", [False, True])
def test_marked_parts_are_apart_and_nothing_is_left_over(shared: bool) -> None:
    module = ActorCritic((3,), 2, SMALL, shared=shared, num_log_std=2)
    network = Network([module])
    marks = {part: network.mask(part) for part in ("torso", "actor", "critic", "log_std")}
    assert torch.equal(sum(marks.values(), torch.zeros(1)), torch.ones_like(network.initial))
    for part, mark_P in marks.items():
        for name, view in network.unflatten(mark_P).items():  # by the vector's own layout
            assert (view == float(name.split(".")[0] == part)).all()
    assert marks["torso"].any() == shared
    assert not network.mask("act").any()  # a name, not how one begins


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_loss_does_not_touch_is_not_marked(shared: bool) -> None:
    network, observation = (
        Network([ActorCritic((3,), 2, SMALL, shared=shared, num_log_std=2)]),
        torch.randn(6, 3),
    )
    for index, other in ((0, "critic"), (1, "actor")):
        gradient_P = torch.func.grad(
            lambda vector_P, i=index: network(vector_P, observation)[i].square().sum()
        )(network.initial)
        assert not gradient_P[network.mask(other) > 0].any()
        assert gradient_P[network.mask("actor" if other == "critic" else "critic") > 0].any()


def test_marked_parts_of_an_ensemble() -> None:
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return self.last(self.body(observation))

    network = Network([Critic(), Critic()], ensemble=True)
    assert network.mask("last").sum() == 2 * (4 + 1)
    assert network.unflatten(network.mask("last"))["last.weight"].tolist() == [[[1] * 4]] * 2


# Parameters in several places


class SharedModule(nn.Module):
    """One layer that two parts hold."""

    def __init__(self) -> None:
        super().__init__()
        torso = nn.Linear(3, 4)
        self.actor, self.critic = (
            nn.Sequential(torso, nn.Linear(4, 2)),
            nn.Sequential(torso, nn.Linear(4, 1)),
        )
        self.unused = nn.Linear(3, 1)

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.actor(observation), self.critic(observation)


class SharedWeight(SharedModule):
    """Two layers with one weight, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Linear(3, 4)
        first.weight = self.actor[0].weight
        self.critic[0] = first


@pytest.mark.parametrize("shared", [SharedModule, SharedWeight])
def test_shared_parameters_are_one_everywhere(shared: type[nn.Module]) -> None:
    module, observation = shared(), torch.randn(6, 3)
    network = Network([module])
    moved_P = network.initial + torch.randn(len(network.initial))

    def loss(vector_P: torch.Tensor) -> torch.Tensor:
        output, value = network(vector_P, observation)
        return output.square().sum() + value.square().sum()

    gradient_P = torch.func.grad(loss)(moved_P)  # leaves no trace in the module
    copied = network.to_module(moved_P)
    torch.testing.assert_close(copied(observation), network(moved_P, observation))
    for name, parameter in copied.requires_grad_().named_parameters():
        torch.testing.assert_close(parameter.detach(), network.unflatten(moved_P)[name])
    output, value = copied(observation)
    (output.square().sum() + value.square().sum()).backward()
    for name, parameter in copied.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(
            network.unflatten(gradient_P)[name], expected, rtol=1e-4, atol=1e-5
        )
    assert all(
        isinstance(parameter, nn.Parameter) and parameter.grad_fn is None
        for parameter in module.parameters()
    )


def test_shared_parameters_are_marked_for_each_part() -> None:
    network = Network([SharedModule()])
    actor_P, critic_P = network.mask("actor"), network.mask("critic")
    assert (actor_P * critic_P).sum() == 3 * 4 + 4
    assert actor_P.sum() == 3 * 4 + 4 + 4 * 2 + 2
    assert critic_P.sum() == 3 * 4 + 4 + 4 + 1


def test_dependencies_are_the_parameters_that_an_output_is_computed_from() -> None:
    network = Network([SharedModule()])
    output_P, value_P = map(
        network.selected, network.dependencies(torch.zeros(1, 3))
    )  # also where every gradient is 0
    assert torch.equal(output_P, network.mask("actor"))
    assert torch.equal(value_P, network.mask("critic"))
    assert not (network.mask("unused") * (output_P + value_P)).any()
