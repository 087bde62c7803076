"""Vector environments of tensors: what an adapter makes of them, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from safetensors.numpy import load, save
from tensor_environments import CartPole, Pendulum, TensorSimulation
from torch import Tensor

import footlight
from footlight.environments.foreign import of_tensors
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.environments.tensors import TensorEnvironments, in_one_transfer
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import Supervision
from footlight.errors import EnvironmentFault, UserError
from footlight.types import Array, Transition

HAS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=HAS_GPU)]
SMALL: dict[str, Any] = {"compile": "off", "quiet": True, "eval_episodes": 0}


def adapted(env: Any, seed: int = 7) -> VectorEnvironments:
    environments = EnvironmentSource.of(env).make(Wanted(seed))
    assert isinstance(environments, VectorEnvironments)
    environments.reset()
    return environments


def play(environments: VectorEnvironments, num_steps: int) -> list[Transition]:
    environments.action_space.seed(0)
    actions = [
        np.stack([environments.action_space.sample() for _ in range(environments.num_envs)])
        for _ in range(num_steps)
    ]
    return [environments.step(action) for action in actions]


class Counting:
    """E instances that count their steps, each with a time limit of its own; terminates at 7.

    Like a simulator that saves memory: every step overwrites and returns the same tensors.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": "SameStep"}
    single_observation_space: Any = gymnasium.spaces.Box(-100, 100, (2,), np.float32)
    single_action_space: Any = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    device = torch.device("cpu")
    num_envs = 3

    def __init__(self) -> None:
        self.time = torch.zeros(3)
        self.limit = torch.tensor([2.0, 3.0, 9.0])
        self.buffer = torch.zeros(3, 2)
        self.flags = torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)

    def observe(self) -> Tensor:
        self.buffer[:, 0], self.buffer[:, 1] = self.time, torch.arange(3)
        return self.buffer

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.time.zero_()
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        assert action.dtype == torch.float32
        assert action.shape == (3, 1)
        self.time += 1
        terminated, truncated = self.flags
        terminated[:], truncated[:] = self.time == 7, self.time == self.limit
        ended = terminated | truncated
        info = {"final_obs": self.observe().clone()} if ended.any() else {}
        self.time[ended] = 0
        return self.observe(), torch.ones(3), terminated, truncated, info


def test_successor_of_a_time_limit_is_the_final_observation_although_buffers_are_reused() -> None:
    environments = adapted(Counting())
    steps = play(environments, 7)
    assert [s.observation[0, 0] for s in steps] == [0, 1, 0, 1, 0, 1, 0]
    assert [s.next_observation[0, 0] for s in steps] == [1, 2, 1, 2, 1, 2, 1]
    assert [s.next_observation[1, 0] for s in steps] == [1, 2, 3, 1, 2, 3, 1]
    assert [s.truncated[0] for s in steps] == [False, True] * 3 + [False]
    assert steps[6].terminated.tolist() == [False, False, True]
    assert steps[6].next_observation[2].tolist() == [7, 2]
    assert environments.finished[0][:4] == (2, 7.0, 7, True)


class Forgetful(Counting):
    """As Isaac Lab's: the final observation is lost."""

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        return *super().step(action)[:4], {"log": {"mean": torch.zeros(())}}


def test_lost_final_observation_is_replaced_by_the_one_before_it_and_said_once() -> None:
    said: list[str] = []
    wanted = Wanted(7, supervision=Supervision(notify=said.append))
    environments = EnvironmentSource.of(Forgetful()).make(wanted)
    assert isinstance(environments, VectorEnvironments)
    environments.reset()
    steps = play(environments, 7)
    assert [s.next_observation[0, 0] for s in steps] == [1, 1, 1, 1, 1, 1, 1]
    assert [s.truncated[0] for s in steps] == [False, True] * 3 + [False]
    assert steps[6].next_observation[2, 0] == 6
    assert [text.partition(":")[0] for text in said] == ["Forgetful gives no final_obs"]


class Terminating(Forgetful):
    def __init__(self) -> None:
        super().__init__()
        self.limit += 100


def test_nothing_is_said_where_only_terminations_lose_their_observation() -> None:
    said: list[str] = []
    wanted = Wanted(7, supervision=Supervision(notify=said.append))
    environments = EnvironmentSource.of(Terminating()).make(wanted)
    environments.reset()
    play(environments, 9)  # type: ignore[arg-type]
    assert not said


def test_next_step_and_disabled_modes_are_used_as_declared() -> None:
    class NextStep(Counting):
        metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            begins = self.flags[0] | self.flags[1]
            self.time += 1
            self.time[begins] = 0
            self.flags = (self.time == 7), (self.time == self.limit)
            return self.observe(), torch.ones(3), *self.flags, {}

    steps = play(adapted(NextStep()), 4)
    assert [s.next_observation[0, 0] for s in steps] == [1, 2, 0, 1]
    assert steps[2].valid is not None
    assert steps[2].valid.tolist() == [False, True, True]

    class Disabled(Counting):
        metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            if options is None:
                return super().reset()
            assert options["reset_mask"].dtype == torch.bool
            self.time[options["reset_mask"]] = 0
            return self.observe(), {}

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            self.time += 1
            flags = (self.time == 7), (self.time == self.limit)
            return self.observe(), torch.ones(3), *flags, {}

    steps = play(adapted(Disabled()), 4)
    assert [s.next_observation[0, 0] for s in steps] == [1, 2, 1, 2]
    assert [s.observation[1, 0] for s in steps] == [0, 1, 2, 0]


def test_single_environments_are_not_reset_where_all_would_be() -> None:
    with pytest.raises(EnvironmentFault, match=r"an episode was cut off.* time limit"):
        adapted(Counting()).restart([1])


def changed(name: str, change: Callable[[Any], Any]) -> Counting:
    """`Counting` whose steps return another observation, reward, termination or truncation."""
    number = ("observation", "reward", "terminated", "truncated").index(name)

    class Changed(Counting):
        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            answer = list(super().step(action))
            answer[number] = change(answer[number])
            return tuple(answer)  # type: ignore[return-value]

    return Changed()


def with_number(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[1] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("observation", lambda x: x[:2], r"observations have shape \(2, 2\), expected \(3, 2\)"),
        ("observation", lambda x: x[:, :1], r"shape \(3, 1\), expected \(3, 2\)"),
        ("observation", with_number(np.nan), r"environment 1 .*observation\[0\] is nan"),
        ("observation", with_number(np.inf), r"environment 1 .*observation\[0\] is inf"),
        ("observation", lambda x: x.to("meta"), "observation is on the device meta, the env"),
        ("observation", lambda x: {"a": x}, r"observations have shape \(\), expected"),
        ("observation", lambda x: x.to(torch.complex64), "observation has dtype complex64"),
        ("reward", lambda x: x[:, None], r"rewards have shape \(3, 1\), expected \(3,\)"),
        ("reward", with_number(np.nan), "environment 1 .*reward is nan"),
        ("reward", lambda x: x.to("meta"), "reward is on the device meta"),
        ("terminated", lambda x: x[:, None], r"terminated and truncated have shape \(3, 1\)"),
        ("truncated", lambda x: x.any(), r"terminated and truncated have shape \(\)"),
    ],
)
def test_what_does_not_fit_is_a_fault_of_the_environment(
    name: str, change: Callable[[Any], Any], message: str
) -> None:
    environments = adapted(changed(name, change))
    with pytest.raises(EnvironmentFault, match=message) as error:
        play(environments, 1)
    assert len(str(error.value).splitlines()) <= 3


def weighted(tensor: Tensor) -> Tensor:
    return tensor * torch.ones(1, requires_grad=True)


def equal(one: list[Transition], other: list[Transition]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for s, t in pairs for a, b in zip(s[:6], t[:6], strict=True))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("observation", Tensor.double),
        ("observation", Tensor.bfloat16),
        ("observation", weighted),
        ("reward", Tensor.double),
        ("reward", weighted),
        ("terminated", Tensor.byte),
        ("truncated", Tensor.float),
    ],
)
def test_other_dtypes_and_gradients_give_the_same_transitions(
    name: str, change: Callable[[Any], Any]
) -> None:
    steps = play(adapted(changed(name, change)), 8)
    assert equal(steps, play(adapted(Counting()), 8))
    assert steps[0].observation.dtype == steps[0].reward.dtype == np.float32
    assert steps[0].terminated.dtype == bool


def test_environment_is_stepped_without_building_a_graph() -> None:
    class Learned(Counting):
        weight = torch.ones(3, requires_grad=True)
        graph: Any = None

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            self.graph = (self.time * self.weight).grad_fn
            return super().step(action)

    env = Learned()
    play(adapted(env), 1)
    assert env.graph is None


def test_part_of_the_policy_is_observed_where_there_are_others() -> None:
    class Grouped(Counting):
        single_observation_space = gymnasium.spaces.Dict(
            policy=Counting.single_observation_space,
            critic=gymnasium.spaces.Box(-1, 1, (5,), np.float32),
        )

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            return {"policy": super().reset()[0], "critic": torch.zeros(3, 5)}, {}

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            observation, *rest, info = super().step(action)
            info = {name: {"policy": final} for name, final in info.items()}
            return {"policy": observation, "critic": torch.zeros(3, 5)}, *rest, info

    environments = adapted(Grouped())
    assert environments.observation_space == Counting.single_observation_space
    assert equal(play(environments, 8), play(adapted(Counting()), 8))
    environments.env.env.step = lambda action: (torch.zeros(3, 2), 0, 0, 0, {})
    with pytest.raises(EnvironmentFault, match="observation has no part 'policy', which its space"):
        environments.step(np.zeros((3, 1), np.float32))


def test_parts_of_a_dict_are_stored_as_records() -> None:
    class Parts(Counting):
        single_observation_space = gymnasium.spaces.Dict(
            place=gymnasium.spaces.Box(-100, 100, (2,), np.float32),
            body=gymnasium.spaces.Dict(steps=gymnasium.spaces.Discrete(10)),
        )

        def observe(self) -> Any:
            return {"place": super().observe(), "body": {"steps": self.time.long()}}

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            self.time += 1
            ended, final = self.time == self.limit, self.observe()
            final = {"place": final["place"].clone(), "body": final["body"]}
            self.time = self.time * ~ended
            info = {"final_obs": final} if ended.any() else {}
            return self.observe(), torch.ones(3), torch.zeros(3), ended, info

    steps = play(adapted(Parts()), 3)
    assert steps[0].observation.dtype.names == ("place", "body.steps")
    assert [s.next_observation["body.steps"][0] for s in steps] == [1, 2, 1]
    assert [s.next_observation["place"][0, 0] for s in steps] == [1, 2, 1]


class OwnBox(SimpleNamespace):
    """As mjlab's spaces, which are not Gymnasium's."""


def test_spaces_of_another_kind_become_those_of_gymnasium() -> None:
    class Foreign(Counting):
        single_observation_space: Any = OwnBox(
            spaces={"actor": OwnBox(shape=(2,), dtype="float32", low=-np.inf, high=np.inf)}
        )
        single_action_space: Any = OwnBox(shape=(1,), dtype="float32", low=(-1.0,), high=1.0)

    env = of_tensors(Foreign())
    assert env is not None
    assert env.single_observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    assert env.single_action_space == Counting.single_action_space
    assert env.action_space.shape == (3, 1)


def lacking(name: str) -> Any:
    members = {key: value for key, value in vars(Counting).items() if key != name}
    return type("Counting", (), members)()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lacking("single_action_space"), "no single_action_space - .* - set both"),
        (lacking("metadata"), r"metadata\['autoreset_mode'\] is None"),
        (lacking("device"), "is not an environment - give an id"),
        (SimpleNamespace(**{**vars(Counting), "auto_reset": False}), "auto_reset False"),
    ],
)
def test_what_an_environment_lacks_is_named(env: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        EnvironmentSource.of(env)


def test_actions_without_bounds_are_refused_with_the_remedy() -> None:
    env = Counting()
    env.single_action_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    with pytest.raises(UserError, match=r"no bounds - .*spaces\.Box\(-1, 1, \(4,\)\)"):
        EnvironmentSource.of(env)


def test_older_interface_is_a_fault_that_says_what_to_return() -> None:
    class Four(Counting):
        def step(self, action: Any) -> Any:
            observation, reward, terminated, _, info = super().step(action)
            return observation, reward, terminated, info

    with pytest.raises(EnvironmentFault, match=r"step returned 4 values .*: five values"):
        play(adapted(Four()), 1)

    class Seedless(Counting):
        def reset(self) -> Any:  # type: ignore[override]
            return super().reset()

    with pytest.raises(EnvironmentFault, match="reset takes no seed"):
        adapted(Seedless())


LIBRARIES = [
    ("isaaclab.envs.manager_based_rl_env", "ManagerBasedRLEnv"),
    ("isaaclab.envs.direct_rl_env", "DirectRLEnv"),
    ("mjlab.envs.manager_based_rl_env", "ManagerBasedRlEnv"),
    ("mani_skill.vector.wrappers.gymnasium", "ManiSkillVectorEnv"),
]


@pytest.mark.parametrize(("module", "name"), LIBRARIES)
def test_classes_of_known_libraries_need_not_declare_when_they_reset(
    module: str, name: str
) -> None:
    library = type(name, (Counting,), {"__module__": module, "metadata": {}})
    env = of_tensors(type("Task", (library,), {})())
    assert env is not None
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


def test_gymnasium_environment_keeps_its_wrappers() -> None:
    class Simulator(Counting, gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-100, 100, (3, 2), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (3, 1), np.float32)
        spec = gymnasium.envs.registration.EnvSpec("Isaac-Points-v0")

    class Doubling(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, 2 * reward, *rest  # type: ignore[operator]

    wrapped = Doubling(Simulator())
    assert EnvironmentSource.of(wrapped).name() == "Isaac-Points-v0"
    assert play(adapted(wrapped), 1)[0].reward.tolist() == [2, 2, 2]


def test_arrays_that_gymnasium_turns_into_tensors_are_the_same_environment() -> None:
    class NumpyToTorch(gymnasium.vector.VectorWrapper[Any, Any, Any]):
        """As Gymnasium's, whose module needs another package."""

        device = None

        def reset(self, **named: Any) -> Any:
            observation, info = super().reset(**named)
            return torch.from_numpy(observation), info

        def step(self, actions: Any) -> Any:
            *parts, info = super().step(actions.numpy())
            return *map(torch.from_numpy, parts), info

    def arrays() -> Any:
        return gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point")

    tensors = NumpyToTorch(arrays())
    assert isinstance(of_tensors(tensors), TensorEnvironments)
    assert equal(play(adapted(tensors), 60), play(adapted(arrays()), 60))


def test_final_info_is_logged(tmp_path: Path) -> None:
    class ManiSkillVectorEnv(Counting, VectorEnv[Any, Any, Any]):
        """As ManiSkill's: the final observation has its older name."""

        metadata: ClassVar[dict[str, Any]] = {}

        def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            *rest, info = super().step(action)
            if "final_obs" in info:
                success = {"success_once": torch.tensor([False, True, True])}
                episode = {"episode": success, "reward_scale": torch.tensor(3.0)}
                info = {"final_observation": info["final_obs"], "final_info": episode}
            return *rest, info  # type: ignore[return-value]

    ManiSkillVectorEnv.__module__ = "mani_skill.vector.wrappers.gymnasium"
    run = footlight.train(
        "ppo", ManiSkillVectorEnv(), steps=60, n_steps=10, minibatch_size=30,
        log_info=("episode.success_once",), run_dir=tmp_path / "run", **SMALL,
    )  # fmt: skip
    infos = {(row["env"], row["info"]["episode.success_once"]) for row in run.episodes()}
    assert infos == {(0, False), (1, True), (2, True)}


def test_one_transfer_keeps_every_number() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.rand(5, 3, generator=generator),
        torch.rand(5, 3, 2, generator=generator).transpose(1, 2),
        torch.rand(5, dtype=torch.float64, generator=generator),
        torch.rand(5, generator=generator) > 0.5,
        torch.arange(5, dtype=torch.uint8),
        torch.arange(5) - 2,
        torch.tensor(3, dtype=torch.int16),
        torch.zeros(5, 0),
        torch.rand(5, generator=generator).bfloat16(),
        torch.rand(5, requires_grad=True, generator=generator) * 2,
    ]
    for array, tensor in zip(in_one_transfer(tensors), tensors, strict=True):
        wanted = tensor.detach()
        wanted = wanted.float() if wanted.dtype is torch.bfloat16 else wanted
        assert array.dtype == wanted.numpy().dtype
        assert np.array_equal(array, wanted.numpy())


@HAS_GPU
@pytest.mark.parametrize("env_class", [CartPole, Pendulum])
def test_device_changes_no_more_than_rounding(env_class: type[TensorSimulation]) -> None:
    class SameStart(env_class):  # type: ignore[misc, valid-type]
        def uniform(self, *high: float) -> Tensor:
            lattice = torch.linspace(-1, 1, self.num_envs * len(high), dtype=torch.float64)
            limits = torch.tensor(high, dtype=torch.float64)
            return (lattice.reshape(self.num_envs, -1) * limits).to(self.device)

    one, other = (play(adapted(SameStart(50, device)), 100) for device in ("cpu", "cuda"))
    for s, t in zip(one, other, strict=True):
        assert np.allclose(s.next_observation, t.next_observation, rtol=1e-4, atol=1e-4)


class InParts(Pendulum):
    single_observation_space = gymnasium.spaces.Dict(
        place=gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        turn=gymnasium.spaces.Box(-8, 8, (1,), np.float32),
    )

    def observe(self) -> Any:
        seen = super().observe()
        return {"place": seen[:, :2], "turn": seen[:, 2:]}


class InNestedParts(InParts):
    single_observation_space = gymnasium.spaces.Dict(
        body=gymnasium.spaces.Tuple([*InParts.single_observation_space.spaces.values()]),
    )

    def observe(self) -> Any:
        return {"body": tuple(super().observe().values())}


@pytest.mark.parametrize("kind", [InParts, InNestedParts])
def test_parts_are_evaluated(tmp_path: Path, kind: type[Pendulum]) -> None:
    small = {**SMALL, "n_steps": 5, "minibatch_size": 20, "eval_episodes": 2, "eval_every": 40}
    env = kind(4, time_limit=7)
    run = footlight.train(
        "ppo", env, eval_environment=kind(2, time_limit=7), steps=80, run_dir=tmp_path / "run",
        **small,
    )  # fmt: skip
    assert [row["lengths"] for row in run.evaluations()] == [[7, 7], [7, 7]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [Pendulum, InParts, InNestedParts])
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_resumed_run_equals_an_uninterrupted_one_if_the_state_can_be_saved(
    tmp_path: Path, algorithm: str, kind: type[Pendulum], device: str
) -> None:
    small: dict[str, Any] = {"n_steps": 5, "minibatch_size": 20}
    if algorithm == "sac":
        small = {"batch_size": 8, "learning_starts": 8, "buffer_size": 100, "hidden_sizes": (8,)}

    def pendulums() -> Pendulum:
        return kind(4, device, time_limit=7)

    runs = [
        footlight.train(
            algorithm, pendulums(), steps=steps, run_dir=tmp_path / str(steps), **small, **SMALL
        )
        for steps in (200, 100)
    ]
    assert runs[0].config["resume"] == "exact"
    resumed = footlight.resume(runs[1].folder, environment=pendulums(), steps=200, quiet=True)
    assert [row | {"time_s": 0} for row in resumed.metrics()] == [
        row | {"time_s": 0} for row in runs[0].metrics()
    ]
    assert resumed.episodes() == runs[0].episodes()


def saved(environments: VectorEnvironments) -> dict[str, Array]:
    arrays = environments.arrays().items()
    return load(save({name: np.ascontiguousarray(array) for name, array in arrays}))


def test_state_of_another_environment_is_refused() -> None:
    environments = adapted(Pendulum(4))
    assert environments.why_inexact is None
    arrays = saved(environments)
    with pytest.raises(KeyError, match=r"native\.state\.state"):
        adapted(Pendulum(4)).restore({k: v for k, v in arrays.items() if "state.state" not in k})
    arrays["native.state.state"] = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"native\.state\.state is float64\[4, 3\], expected"):
        adapted(Pendulum(4)).restore(arrays)


def test_state_has_to_be_tensors() -> None:
    class Listing(Pendulum):
        def state_dict(self) -> Any:
            return {"list": [1, 2]}

    with pytest.raises(UserError, match="state_dict of Listing has a list at 'list'"):
        adapted(Listing(2)).arrays()


def test_run_begins_new_episodes_if_the_state_cannot_be_saved(tmp_path: Path) -> None:
    small: dict[str, Any] = {"n_steps": 10, "minibatch_size": 30, **SMALL}
    run = footlight.train("ppo", Counting(), steps=60, run_dir=tmp_path / "run", **small)
    assert run.config["environment"] == "Counting"
    assert "state of Counting cannot be saved, as it has no state_dict" in run.config["resume"]
    resumed = footlight.resume(run.folder, environment=Counting(), steps=120, quiet=True)
    assert resumed.result["status"] == "finished"


def test_object_is_not_evaluated_unless_another_one_is_given(tmp_path: Path) -> None:
    small: dict[str, Any] = {**SMALL, "n_steps": 25, "minibatch_size": 100, "eval_episodes": 3}
    run = footlight.train("ppo", CartPole(4), steps=400, run_dir=tmp_path / "none", **small)
    reason = "a CartPole cannot be made again, so evaluations need an eval_environment"
    assert run.config["no_evaluations"] == reason
    run = footlight.train(
        "ppo", CartPole(4), steps=400, run_dir=tmp_path / "own", eval_environment=CartPole(2),
        **small,
    )  # fmt: skip
    final = run.result["final_evaluation"]
    assert final is not None
    assert len(final["returns"]) == 3  # type: ignore[arg-type]
