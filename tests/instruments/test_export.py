"""Exported ONNX files: what they contain, what runs them, and what cannot be exported."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from exported import (
    BOX,
    CHOICE,
    CHOICES,
    COUNTS,
    DOUBLE,
    HALF,
    IMAGES,
    NUMBERS,
    SWITCHES,
    Parts,
    learner,
    observations_of,
    require_equal,
    require_refused,
)
from gymnasium.spaces import Box
from own_examples import TorchA2C

import footlight
from footlight.cli.main import main
from footlight.errors import StorageFault, UserError
from footlight.instruments.export import export

pytestmark = pytest.mark.usefixtures("operators_read_once")


@pytest.mark.parametrize(
    ("algorithm", "action", "seen", "fields"),
    [
        ("sac", BOX, NUMBERS, {"normalize_observations": True, "activation": "silu"}),
        ("td3", DOUBLE, NUMBERS, {"norm": "layer"}),
        ("ddpg", BOX, COUNTS, {}),
        ("td7", BOX, NUMBERS, {"normalize_observations": True}),
        ("flashsac", BOX, NUMBERS, {"actor_hidden_sizes": (8, 8)}),
        ("actor-critic", SWITCHES, NUMBERS, {"activation": "gelu"}),
        ("a2c", CHOICE, NUMBERS, {"network": Parts}),
        ("a2c", CHOICE, IMAGES, {"torso": "small", "shared_torso": True, "layer_norm": True}),
        ("impala", BOX, NUMBERS, {"normalize_observations": True}),
        ("ppo", BOX, NUMBERS, {"normalize_observations": True, "activation": "elu"}),
        ("a2c", CHOICES, NUMBERS, {"precision": "bf16"}),
        ("ppo", CHOICE, IMAGES, {"normalize_observations": True}),
        ("reinforce", HALF, NUMBERS, {"action_head": "squashed-gaussian"}),
        ("stream-ac", BOX, NUMBERS, {}),
        ("replay-actor-critic", CHOICE, NUMBERS, {}),
        ("sac-discrete", CHOICE, NUMBERS, {"normalize_observations": True}),
        ("sac-discrete", CHOICE, IMAGES, {"torso": "small"}),
    ],
)
def test_onnx_runtime_returns_the_actions_of_the_policy(
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
        observations = observations_of(agent, number)
        require_equal(session.run(None, {"observation": observations})[0], agent, observations)


@pytest.mark.parametrize(
    ("algorithm", "action", "seen", "fields"),
    [
        ("sac", BOX, NUMBERS, {"normalize_observations": True}),
        ("a2c", BOX, COUNTS, {"action_head": "state-dependent-gaussian"}),
        ("reinforce", HALF, NUMBERS, {"action_head": "squashed-gaussian"}),
        ("a2c", CHOICES, IMAGES, {"torso": "nature"}),
    ],
)
def test_checker_and_quantizers_accept_the_file(
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
            self.left = [{"observation": observations_of(agent, 9)}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    quantization.quantize_dynamic(
        "policy.onnx", "dynamic.onnx", weight_type=quantization.QuantType.QInt8
    )
    quantization.quantize_static("policy.onnx", "static.onnx", Calibration())
    observations = observations_of(agent, 40)
    wanted = agent.act(observations).astype(np.float64)
    spread = action.high.astype(np.float64) - action.low if isinstance(action, Box) else 1
    for name in ("dynamic.onnx", "static.onnx"):
        session = importlib.import_module("onnxruntime").InferenceSession(name)
        found = session.run(None, {"observation": observations})[0]
        assert (
            np.mean(np.abs(found - wanted) / spread) < 0.25
        )  # weights of 8 bits; chance would give about a third or more


def test_file_holds_the_actor_and_nothing_else(tmp_path: Path) -> None:
    agent = learner("ppo", BOX, hidden_sizes=(256, 256))
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


def test_export_of_a_run_from_the_command_line(
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
            "policy.onnx: compared with the policy on 1,000 observations, actions differ by at "
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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agent policy.pt", ["policy.pt", "use .onnx"]),
        ("agent policy", ["suffix is missing"]),
        ("agent nowhere/policy.onnx", ["nowhere", "create it first"]),
        ("agent /proc/1/policy.onnx", ["/proc/1/policy.onnx", "cannot be written"]),
        ("nowhere policy.onnx", ["no folder nowhere"]),
        (". policy.onnx", ["nothing to load"]),
        ("agent", ["FILE.onnx"]),
    ],
)
def test_invalid_arguments_are_named_and_change_nothing(
    line: str, words: list[str], saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert all(word in err for word in words), err
    assert Path("policy.onnx").read_text() == "before"
    assert sorted(path.name for path in saved.iterdir()) == ["agent", "policy.onnx"]


def test_missing_packages_are_reported(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    require_refused(["onnxscript", "footlight[onnx]"])


def test_custom_network_must_be_passed_again(saved: Path) -> None:
    learner("a2c", CHOICE, network=Parts).save("agent")
    require_refused(["Parts", "network=..."])


def test_full_disk_keeps_the_previous_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFault, match="No space left"):
        export("agent", "policy.onnx")
    assert sorted(path.name for path in saved.iterdir()) == ["agent", "policy.onnx"]
    assert Path("policy.onnx").read_text() == "before"


class Deciding(TorchA2C):  # type: ignore[misc]
    """Takes what its policy likes least."""

    def act(self, observation: Any, deterministic: bool) -> Any:
        return self.policy(observation).argmin(-1, keepdim=True)


class Agreeing(TorchA2C):  # type: ignore[misc]
    """Takes what its policy likes best, as the file does."""

    def act(self, observation: Any, deterministic: bool) -> Any:
        return self.policy(observation).argmax(-1, keepdim=True)


def test_own_decisions_are_exported_only_where_the_network_makes_them(tmp_path: Path) -> None:
    for kind in (Deciding, Agreeing):
        footlight.Agent(kind, NUMBERS, CHOICE).save(tmp_path / kind.__name__)
    found = export(tmp_path / "Agreeing", tmp_path / "policy.onnx", algorithm=Agreeing)
    assert found.num_differing == 0
    with pytest.raises(
        UserError, match=r"not written .* Deciding\.act decides otherwise - let the"
    ):
        export(tmp_path / "Deciding", tmp_path / "other.onnx", algorithm=Deciding)
    assert not (tmp_path / "other.onnx").exists()
