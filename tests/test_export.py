"""Policies as ONNX files against the policies themselves: every method and head in torch, a choice of them in ONNX Runtime."""

import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

import footlight
from footlight.algorithms import ALGORITHMS, a2c, config_class
from footlight.cli.main import main
from footlight.errors import StorageFault, UserError
from footlight.instruments.export import BATCHES, DeterministicPolicy, export
from footlight.learning.agent import Agent
from footlight.types import Decision
from tolerance import largest_intermediate, longest_sum, rounding_error

NUMBERS, PICTURES, COUNTS = (
    Box(-np.inf, np.inf, (3,), np.float32),
    Box(0, 255, (4, 36, 36), np.uint8),
    Box(0, 9, (3,), np.int64),
)
BOX = Box(np.array([-2, 0], np.float32), np.array([2, 0.3], np.float32))
DOUBLE, HALF = Box(-1, 3, (1, 2), np.float64), Box(-1, 3, (2,), np.float16)
CHOICE, CHOICES, SWITCHES = (
    Discrete(3, start=-1),
    MultiDiscrete([[2, 3], [4, 5]], start=[[1, 2], [3, -4]]),
    MultiBinary((2, 2)),
)
HEADS = ("gaussian", "state-dependent-gaussian", "squashed-gaussian")
ACTIVATIONS = ("relu", "tanh", "elu", "gelu", "silu", "leaky-relu")
OFF_POLICY, ON_POLICY = (
    ("sac", "td3", "ddpg"),
    ("actor-critic", "a2c", "ppo", "reinforce", "stream-ac"),
)


def learner(algorithm: Any, action: Any, seen: Any = NUMBERS, **fields: Any) -> Agent:
    """An agent whose parameters and statistics are those of no beginning."""
    known = config_class(algorithm).__dataclass_fields__
    if "buffer_size" in known:
        fields = {"buffer_size": 100, "batch_size": 16, "learning_starts": 0, **fields}
    agent = Agent(
        algorithm, seen, action, seed=1, compile="off", **{"hidden_sizes": (8, 8), **fields}
    )
    generator = torch.Generator().manual_seed(2)
    parameters_P = agent.policy.state.parameters
    gain = (
        3 if len(agent.spaces.observation_shape) > 1 else 1.5
    )  # convolutions see images that resemble each other
    noise_P = torch.randn(parameters_P.shape, generator=generator)
    for view in agent.networks.policy.named(noise_P).values():
        view *= (
            gain / view[0].numel() ** 0.5 if view.dim() > 1 else 0.2
        )  # no layer's output is much larger than its input
    parameters_P += noise_P
    if agent.normalizer is not None and agent.normalizer.observations:
        stream = np.random.default_rng(3)
        agent.normalizer.mean[...] = stream.uniform(-1, 1, agent.normalizer.mean.shape)
        agent.normalizer.scale[...] = stream.uniform(0.5, 2, agent.normalizer.scale.shape)
    return agent


def seen_by(agent: Agent, number: int) -> Any:
    stream, spaces = np.random.default_rng(number), agent.spaces
    drawn = stream.normal(0, 5, (number, *spaces.observation_shape))
    if spaces.observation_dtype == "uint8":
        drawn = stream.integers(0, 256, drawn.shape) * stream.uniform(
            0, 1, (*drawn.shape[:2], *[1] * (drawn.ndim - 2))
        )
    return drawn.astype(spaces.observation_dtype)


def require_equal(found: Any, agent: Agent, observations: Any) -> None:
    wanted = agent.act(observations)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    acting = DeterministicPolicy(agent.policy)
    seen = torch.from_numpy(observations)
    depth = 1 + sum(
        parameter.dim() > 1 for name, parameter in acting.named_parameters() if "critic" not in name
    )
    scale = largest_intermediate(acting, seen)
    allowed = rounding_error(terms=longest_sum(acting), depth=depth, scale=scale)
    if wanted.dtype.kind == "f":
        allowed += rounding_error(wanted.dtype, scale=float(np.abs(wanted).max()))
        np.testing.assert_allclose(
            found.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=allowed
        )
    else:  # choices differ only where rounding decides between two logits
        with torch.no_grad():
            logits_EH = acting.output(seen).numpy()
        first_A = np.cumsum((0, *agent.spaces.action.sizes[:-1]))
        one_EA, other_EA = (
            np.take_along_axis(logits_EH, agent.spaces.action.from_environment(each) + first_A, 1)
            for each in (found, wanted)
        )
        np.testing.assert_allclose(one_EA, other_EA, rtol=0, atol=allowed)
    if len(wanted) > 10:
        assert (
            len(np.unique(wanted.reshape(len(wanted), -1), axis=0)) > 1
        )  # a policy that sees something


# In torch: the full product


def every_policy() -> Iterator[Any]:
    both = (False, True)
    for algorithm, layer_norm, normalized in itertools.product(OFF_POLICY, both, both):
        for action in (BOX, DOUBLE, HALF):
            yield (
                algorithm,
                action,
                {"layer_norm": layer_norm, "normalize_observations": normalized},
            )
    ways = itertools.product(
        [*((BOX, head) for head in HEADS), *((a, HEADS[0]) for a in (CHOICE, CHOICES, SWITCHES))],
        both,
        both,
    )
    for algorithm, ((action, head), layer_norm, other) in itertools.product(ON_POLICY, ways):
        shared = {} if algorithm == "stream-ac" else {"shared_torso": other}
        yield (
            algorithm,
            action,
            {
                "action_head": head,
                "layer_norm": layer_norm,
                "normalize_observations": other,
                **shared,
            },
        )
    for layer_norm, shared_torso in itertools.product(both, both):
        yield (
            "replay-actor-critic",
            CHOICE,
            {"layer_norm": layer_norm, "shared_torso": shared_torso},
        )
    for activation in ACTIVATIONS:
        yield "ppo", BOX, {"activation": activation, "layer_norm": True}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_method_and_head_in_torch(algorithm: str) -> None:
    policies = [(action, fields) for name, action, fields in every_policy() if name == algorithm]
    assert policies
    for action, fields in policies:
        agent = learner(algorithm, action, **fields)
        observations = seen_by(agent, 40)
        with torch.no_grad():
            require_equal(
                DeterministicPolicy(agent.policy)(torch.from_numpy(observations)).numpy(),
                agent,
                observations,
            )


@pytest.mark.parametrize(("torso", "layer_norm"), [("small", True), ("nature", False)])
@pytest.mark.parametrize("shape", [(4, 36, 36), (36, 36, 3), (36, 36), (2, 36, 36, 3)])
def test_pictures_in_torch(torso: str, layer_norm: bool, shape: tuple[int, ...]) -> None:
    agent = learner(
        "a2c",
        BOX,
        Box(0, 255, shape, np.uint8),
        torso=torso,
        layer_norm=layer_norm,
        action_head="squashed-gaussian",
    )
    observations = seen_by(agent, 40)
    with torch.no_grad():
        require_equal(
            DeterministicPolicy(agent.policy)(torch.from_numpy(observations)).numpy(),
            agent,
            observations,
        )


# In ONNX Runtime


class Parts(torch.nn.Module):
    """A user's network that uses one layer twice."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        layer = torch.nn.Linear(3, 3)
        self.actor = torch.nn.Sequential(layer, torch.nn.Softplus(), layer, torch.nn.Linear(3, 3))
        self.critic = torch.nn.Linear(3, 1)


@pytest.mark.parametrize(
    ("algorithm", "action", "seen", "fields"),
    [
        ("sac", BOX, NUMBERS, {"normalize_observations": True, "activation": "silu"}),
        ("td3", DOUBLE, NUMBERS, {"layer_norm": True}),
        ("ddpg", BOX, COUNTS, {}),
        ("actor-critic", SWITCHES, NUMBERS, {"activation": "gelu"}),
        ("a2c", CHOICE, NUMBERS, {"network": Parts}),
        ("a2c", CHOICE, PICTURES, {"torso": "small", "shared_torso": True, "layer_norm": True}),
        ("ppo", BOX, NUMBERS, {"normalize_observations": True, "activation": "elu"}),
        ("a2c", CHOICES, NUMBERS, {"precision": "bf16"}),
        ("ppo", CHOICE, PICTURES, {"normalize_observations": True}),
        ("reinforce", HALF, NUMBERS, {"action_head": "squashed-gaussian"}),
        ("stream-ac", BOX, NUMBERS, {}),
        ("replay-actor-critic", CHOICE, NUMBERS, {}),
    ],
)
def test_in_onnx_runtime(
    algorithm: str, action: Any, seen: Any, fields: dict[str, Any], tmp_path: Path
) -> None:
    agent = learner(algorithm, action, seen, **fields)
    agent.save(tmp_path / "agent")
    found = export(tmp_path / "agent", tmp_path / "policy.onnx", network=fields.get("network"))
    assert found.difference < (
        2e-3 if action is HALF else 1e-4
    )  # float16 has steps of a thousandth
    assert found.in_fp32 == ("trained in bf16" in str(found)) == ("precision" in fields)
    assert found.num_choices == (0 if isinstance(action, Box) else 1_000 * agent.spaces.action.size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent", "policy.onnx"]
    session = importlib.import_module("onnxruntime").InferenceSession(tmp_path / "policy.onnx")
    if found.in_fp32:
        return  # the policy at hand rounds otherwise; what was compared is the one in fp32
    for number in (1, 7, 70):  # the dtype is right, or the session would refuse
        observations = seen_by(agent, number)
        require_equal(session.run(None, {"observation": observations})[0], agent, observations)


@pytest.mark.parametrize(
    ("algorithm", "action", "seen", "fields"),
    [
        ("sac", BOX, NUMBERS, {"normalize_observations": True}),
        ("td3", DOUBLE, COUNTS, {"layer_norm": True}),
        ("ppo", BOX, NUMBERS, {}),
        ("a2c", BOX, NUMBERS, {"action_head": "state-dependent-gaussian"}),
        ("reinforce", HALF, NUMBERS, {"action_head": "squashed-gaussian"}),
        ("a2c", CHOICES, PICTURES, {"torso": "nature"}),
    ],
)
def test_checker_and_quantizers_take_the_file(
    algorithm: str,
    action: Any,
    seen: Any,
    fields: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    agent = learner(algorithm, action, seen, **fields)
    agent.save("agent")
    export("agent", "policy.onnx")
    onnx, quantization = (
        importlib.import_module("onnx"),
        importlib.import_module("onnxruntime.quantization"),
    )
    model = onnx.load("policy.onnx")
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(
        model, check_type=True, strict_mode=True, data_prop=True
    )
    shapes = [
        {value.name: value.type for value in each.graph.value_info} for each in (model, inferred)
    ]
    assert all(shapes[1][name] == shape for name, shape in shapes[0].items())

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.left = [{"observation": seen_by(agent, 9)}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    quantization.quantize_dynamic(
        "policy.onnx", "dynamic.onnx", weight_type=quantization.QuantType.QInt8
    )
    quantization.quantize_static("policy.onnx", "static.onnx", Calibration())
    observations = seen_by(agent, 40)
    wanted = agent.act(observations).astype(np.float64)
    spread = action.high.astype(np.float64) - action.low if isinstance(action, Box) else 1
    for name in ("dynamic.onnx", "static.onnx"):
        session = importlib.import_module("onnxruntime").InferenceSession(name)
        found = session.run(None, {"observation": observations})[0]
        assert (
            np.mean(np.abs(found - wanted) / spread) < 0.25
        )  # weights of 8 bits; chance would give about a third or more


def test_one_file_holds_what_acts_and_nothing_else(tmp_path: Path) -> None:
    agent = learner("ppo", BOX, hidden_sizes=(1024, 1024))
    agent.save(tmp_path / "agent")
    export(tmp_path / "agent", tmp_path / "policy.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent", "policy.onnx"]
    onnx = importlib.import_module("onnx")
    onnx.checker.check_model(tmp_path / "policy.onnx", full_check=True)
    model = onnx.load(tmp_path / "policy.onnx")
    actor = sum(
        parameter.numel() for parameter in agent.networks.actor_critic.module.actor.parameters()
    )
    assert (
        actor
        <= sum(np.prod(weight.dims, dtype=int) for weight in model.graph.initializer)
        < actor + 50
    )
    content = (tmp_path / "policy.onnx").read_bytes()
    model.graph.ClearField("initializer")  # random bytes, which may spell anything
    without_weights = model.SerializeToString()
    for told in (
        b".py",
        b"/site-packages",
        str(tmp_path).encode(),
    ):  # of the machine that it was made on
        assert told not in without_weights
    export(tmp_path / "agent", tmp_path / "policy.onnx")  # replaced, and the same again
    assert (tmp_path / "policy.onnx").read_bytes() == content


def test_from_a_run_in_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fields = {"hidden_sizes": (8, 8), "learning_starts": 10, "batch_size": 8}
    run = footlight.train(
        "sac",
        "Pendulum-v1",
        steps=30,
        eval_every=0,
        compile="off",
        run_dir="run",
        quiet=True,
        **fields,
    )
    capfd.readouterr()
    monkeypatch.setattr(gymnasium, "make", None)  # nobody needs the environment
    for folder in ("run", "run/checkpoints/step-000000030"):
        assert main(["export", folder, "policy.onnx"]) == 0
        out, err = capfd.readouterr()
        assert (len(out.splitlines()), err) == (1, "")
        assert out.startswith(
            "policy.onnx: compared with the policy on 1,000 observations, actions differ by at most "
        )
        about = (
            importlib.import_module("onnxruntime")
            .InferenceSession("policy.onnx")
            .get_modelmeta()
            .custom_metadata_map
        )
        assert (about["algorithm"], about["environment"], about["step"]) == (
            "sac",
            "Pendulum-v1",
            "30",
        )
        assert json.loads(about["spaces"])["action"]["high"] == [2.0]
        assert about["observation"].startswith("float32 [3]")
    assert run.export("again.onnx").difference < 1e-4


# What is refused


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent's folder, with a file in the place of the export."""
    monkeypatch.chdir(tmp_path)
    learner("a2c", CHOICE).save("agent")
    Path("policy.onnx").write_text("before")
    return tmp_path


def require_refused(words: list[str], **options: Any) -> None:
    with pytest.raises(UserError) as refused:
        export("agent", "policy.onnx", **options)
    assert all(word in str(refused.value) for word in words), refused.value
    assert len(str(refused.value).splitlines()) <= 3
    assert Path("policy.onnx").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["agent", "policy.onnx"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agent policy.pt", ["policy.pt", "use .onnx"]),
        ("agent policy", ["suffix is missing"]),
        ("agent nowhere/policy.onnx", ["nowhere", "make it first"]),
        ("agent /proc/1/policy.onnx", ["/proc/1/policy.onnx", "cannot be written"]),
        ("nowhere policy.onnx", ["no folder nowhere"]),
        (". policy.onnx", ["nothing to load"]),
        ("agent", ["FILE.onnx"]),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    line: str, words: list[str], saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert all(word in err for word in words), err
    assert Path("policy.onnx").read_text() == "before"
    assert sorted(path.name for path in saved.iterdir()) == ["agent", "policy.onnx"]


def test_missing_packages_are_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    require_refused(["onnxscript", "footlight[onnx]"])


def test_a_users_own_network_has_to_be_given_again(saved: Path) -> None:
    learner("a2c", CHOICE, network=Parts).save("agent")
    require_refused(["Parts", "network=..."])


class Branches(Parts):
    """A network whose way depends on the numbers, which no graph holds."""

    def forward(self, observation: torch.Tensor) -> Any:
        output = self.actor(observation)
        return output if output.sum() > 0 else -output, self.critic(observation)


class Pairs(Parts):
    """A network that does something else with two observations."""

    def forward(self, observation: torch.Tensor) -> Any:
        return self.actor(observation) * (1 if len(observation) == 2 else -1), self.critic(
            observation
        )


@pytest.mark.parametrize("network", [Branches, Pairs])
def test_a_network_that_is_no_graph_is_refused(
    network: Any, saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    learner("a2c", CHOICE, network=network).save("agent")
    require_refused(["no form in ONNX", "any batch size"], network=network)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("action", [CHOICE, BOX])
def test_a_method_that_acts_otherwise_is_refused(action: Any, saved: Path) -> None:
    @dataclass(frozen=True)
    class Mine(a2c.A2C):  # type: ignore[misc]
        def act(self, *given: Any) -> Any:
            drawn_EA = a2c.A2C.act(self, *given)[0].action
            moved_EA = (drawn_EA + 1) % 3 if action is CHOICE else drawn_EA + 0.001
            return Decision(moved_EA), None

    mine = Mine
    learner(mine, action).save("agent")
    words = ["of 1,000 choices differ"] if action is CHOICE else ["of their range", "of rounding"]
    require_refused(["policy.onnx is not written", *words], algorithm=mine)


def test_a_policy_that_is_no_number_is_refused(saved: Path) -> None:
    agent = learner("ddpg", BOX)
    agent.state.actor.fill_(float("nan"))
    agent.save("agent")
    require_refused(["up to nan of their range"])


def test_choices_may_fall_either_way_where_logits_are_equal(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner("a2c", CHOICE)
    agent.state.actor_critic.zero_()
    agent.save("agent")
    act = a2c.A2C.act
    monkeypatch.setattr(a2c.A2C, "act", lambda *given: (Decision(act(*given)[0].action + 1), None))
    found = export("agent", "policy.onnx")
    assert (found.num_differing, found.num_choices, found.difference) == (1_000, 1_000, 0)
    assert "1,000 of 1,000 choices differ, by logits at most 0.0e+00 apart" in str(found)


def test_a_full_disk_leaves_the_file_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFault, match="No space left"):
        export("agent", "policy.onnx")
    assert sorted(path.name for path in saved.iterdir()) == ["agent", "policy.onnx"]
    assert Path("policy.onnx").read_text() == "before"


def test_a_thousand_observations_are_compared() -> None:
    assert sum(BATCHES) == 1_000
