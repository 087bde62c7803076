"""A trained policy as one ONNX file, which runs where neither footlight nor torch is installed.

What acts is written once more in torch, because only torch can be exported: normalizer, network, the head's mode, rescaling. The
policy itself, most of which is NumPy, is what the file is compared with before it appears.
"""

import contextlib
import importlib
import io
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight import __version__
from footlight.ambient import computes
from footlight.errors import StorageFault, UserError, warn
from footlight.instruments.random_observations import draw_observations
from footlight.learning.normalization import CUT_OFF
from footlight.learning.policy import Policy, restore
from footlight.networks.flat import as_tensors
from footlight.storage import checkpoint
from footlight.storage.files import user_path
from footlight.trees import leaves_of, map_leaves, rebuilt
from footlight.types import BoxAction, DiscreteAction, Spaces

BATCHES = (
    1,
    *[50] * 19,
    49,
)  # a thousand observations, some alone, none in batches that would go another way than single ones
_OUTSIDE = "the file holds what network, normalizer and head do, the same for any batch size, and nothing besides"


@dataclass(frozen=True)
class Export:
    """A policy in a file, and how the file's actions compared with the policy's own."""

    path: Path
    difference: float
    """The largest: between continuous actions, in ranges (high - low); between the logits of choices that differ."""
    num_differing: int
    """Discrete choices that differ; 0 where actions are continuous."""
    num_choices: int
    """Discrete choices compared, in all observations; 0 where actions are continuous."""
    in_fp32: bool
    """Whether the policy was trained in bf16, and compared as it acts in fp32."""

    def __str__(self) -> str:
        how = f"actions differ by at most {self.difference:.1e} of their range"
        if self.num_choices:
            how = f"{self.num_differing:,} of {self.num_choices:,} choices differ"
            how += f", by logits at most {self.difference:.1e} apart" if self.num_differing else ""
        return (
            f"{self.path}: compared with the policy on {sum(BATCHES):,} observations, {how}"
            + " (in fp32, trained in bf16)" * self.in_fp32
        )


@computes
def export(
    path: str | Path, output: str | Path, *, algorithm: Any = None, network: Any = None
) -> Export:
    """Write the policy saved at `path` (a run folder, a checkpoint, or an agent's folder) into the file `output`, an .onnx.

    Input `observation` [batch, *observation shape], raw, in the dtype that the policy stores; of a
    Dict or Tuple space an input `observation.LEAF` for each leaf, by its dotted name. Output
    `action` [batch, *action shape], what `Policy.act` gives: deterministic, in the environment's own
    units and dtype. A policy trained in bf16 becomes one in fp32. The environment is not made.
    `algorithm` and `network` are the user's own, where the run was made with one.

    Raises `UserError` for what cannot be exported, and where the file would not act as the policy does: it does not appear then.
    Raises `StorageFault` where it cannot be written.
    """
    output = user_path(output)
    _require_place(output)
    runtime = _require_packages()
    folder = checkpoint.find(Path(path), warn, ["policy"])
    manifest = checkpoint.read_manifest(folder)
    in_bf16 = manifest.get("config", {}).get("precision") == "bf16"
    if in_bf16:
        manifest["config"]["precision"] = "fp32"
    policy = restore(folder, manifest, algorithm, network)
    acting = DeterministicPolicy(policy)
    with _appearing_whole(output) as partial:
        metadata = _metadata(manifest, policy.spaces)
        with _said_plainly():
            content = _onnx(acting, policy.spaces, metadata)
            session = _session(runtime, content)
        comparison = _compared(output, policy, acting, session)
        partial.write_bytes(content)
    return Export(output, *comparison, in_bf16)


class DeterministicPolicy(nn.Module):
    """`Policy.act` as one graph: raw observations [B, ...] -> the environment's actions [B, ...].

    Observations of a Dict are dicts of tensors by leaf.
    """

    middle: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor
    starts: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.network, self.head, self.action = (
            policy.acting_module(),
            policy.head,
            policy.spaces.action,
        )
        buffers: dict[str, Any] = {}
        self.normalized: dict[str, str] = {}  # by leaf, what its buffers' names end in
        if policy.normalizer is not None and policy.normalizer.observations:
            for index, name in enumerate(policy.normalizer.means):
                self.normalized[name] = suffix = f"_{index}" if name else ""
                buffers[f"mean{suffix}"] = policy.normalizer.means[name]
                buffers[f"scale{suffix}"] = policy.normalizer.scales[name]
        if isinstance(self.action, DiscreteAction):
            buffers["starts"] = np.reshape(self.action.starts, self.action.shape)
        else:
            # Single precision where it is enough: many runtimes know no other
            dtype = np.promote_types(self.action.low.dtype, np.float32)
            low, high = self.action.low.astype(np.float64), self.action.high.astype(np.float64)
            bounds = {
                "middle": low / 2 + high / 2,
                "half_range": high / 2 - low / 2,
                "low": low,
                "high": high,
            }
            buffers |= {name: value.astype(dtype) for name, value in bounds.items()}
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, observation: Any) -> Tensor:
        """See the class."""
        unit_BA = self.head.unit_mode(self.output(observation))
        return self._to_environment(unit_BA.reshape(-1, *self.action.shape))

    def output(self, observation: Any) -> Tensor:
        """What the head is asked about [B, H]."""
        leaves = leaves_of(observation)
        for name, suffix in self.normalized.items():
            mean, scale = self.get_buffer(f"mean{suffix}"), self.get_buffer(f"scale{suffix}")
            leaves[name] = ((leaves[name].float() - mean) * scale).clamp(-CUT_OFF, CUT_OFF)
        output = self.network(rebuilt(leaves))
        return output[0] if isinstance(output, tuple) else output

    def _to_environment(self, unit: Tensor) -> Tensor:
        """In [-1, 1], or choices counted from 0 -> the environment's own numbers, never outside of its bounds."""
        if isinstance(self.action, DiscreteAction):
            return (unit + self.starts).to(getattr(torch, self.action.dtype))
        action = unit.to(self.half_range.dtype) * self.half_range + self.middle
        return action.clamp(self.low, self.high).to(getattr(torch, str(self.action.low.dtype)))


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """The exporter's failures as one `UserError`; what it says besides, in three ways, is about its insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    unheard = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(unheard),
            contextlib.redirect_stderr(unheard),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # whatever a user's own network makes it stumble over
        lines = [*str(error.__cause__ or error).split("\n"), type(error).__name__]
        reason = next(line.strip() for line in lines if line.strip())[:200]
        raise UserError(
            f"the network has no form in ONNX - {reason} - use operations that torch.onnx.export knows, for any batch size"
        ) from error
    finally:
        logging.disable(disabled)


def _onnx(acting: DeterministicPolicy, spaces: Spaces, metadata: dict[str, str]) -> bytes:
    """The file's content."""
    batch = torch.export.Dim("batch")
    example = map_leaves(
        lambda leaf: torch.zeros((2, *leaf.shape), dtype=getattr(torch, leaf.dtype)),
        rebuilt(spaces.observation),
    )
    # As a keyword, because a dict at the end of the arguments would be taken for keywords
    program: Any = torch.onnx.export(
        acting, (), kwargs={"observation": example}, dynamo=True, verbose=False,
        input_names=[_input_name(leaf) for leaf in spaces.observation], output_names=["action"],
        dynamic_shapes={"observation": map_leaves(lambda leaf: {0: batch}, example)},
    )  # fmt: skip
    model = program.model_proto
    graph = model.graph
    for part in (
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
        graph,
    ):
        part.ClearField("metadata_props")  # where in which file each came from
    # An initializer brings its own shape. A second record of it goes stale when a quantizer transposes the weights.
    weights = {weight.name for weight in graph.initializer}
    described = [value for value in graph.value_info if value.name not in weights]
    graph.ClearField("value_info")
    graph.value_info.extend(described)
    model.producer_name, model.producer_version = "footlight", __version__
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _input_name(leaf: str) -> str:
    return f"observation.{leaf}" if leaf else "observation"


def _metadata(manifest: dict[str, Any], spaces: Spaces) -> dict[str, str]:
    """What the file says of itself, all in text."""
    action = spaces.action
    kind = (
        "continuous, within low and high"
        if isinstance(action, BoxAction)
        else "choices, counted from starts"
    )
    dtype = action.low.dtype if isinstance(action, BoxAction) else action.dtype
    found = {
        "footlight": __version__,
        "algorithm": str(manifest["algorithm"]),
        "step": str(manifest["buffer"]["num_steps"]),
        **{
            _input_name(name): f"{leaf.dtype} {list(leaf.shape)}, raw, as the environment gives it"
            for name, leaf in spaces.observation.items()
        },
        "action": f"{dtype} {list(action.shape)}, deterministic, as the environment takes it: {kind}",
        "spaces": json.dumps(spaces.to_json()),
    }
    return found | ({"environment": manifest["run"]["environment"]} if "run" in manifest else {})


def _session(runtime: Any, content: bytes) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _compared(
    path: Path, policy: Policy, acting: DeterministicPolicy, session: Any
) -> tuple[float, int, int]:
    """See `Export`: `difference`, `num_differing`, `num_choices`. Raises `UserError` where the file acts otherwise."""
    action, stream = policy.spaces.action, np.random.default_rng(0)
    differences, num_differing, num_choices = [], 0, 0
    largest = _watch_intermediates(acting.network)
    for size in BATCHES:
        observations = draw_observations(stream, size, policy.spaces, policy.normalizer)
        wanted = policy.act(observations)
        with _said_plainly():
            leaves = leaves_of(observations).items()
            found = session.run(
                ["action"], {_input_name(name): np.ascontiguousarray(leaf) for name, leaf in leaves}
            )[0]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise UserError(
                f"{path} is not written - its actions are {found.dtype} {found.shape} - {_OUTSIDE}"
            )
        with torch.no_grad():
            output_EH = acting.output(as_tensors(observations, torch.device("cpu"))).numpy()
        if isinstance(action, BoxAction):
            differences.append(
                np.abs(found.astype(np.float64) - wanted)
                / (action.high.astype(np.float64) - action.low)
            )
        else:
            first_A = np.cumsum((0, *action.sizes[:-1]))  # where each choice's logits begin
            one_EA, other_EA = (
                np.take_along_axis(output_EH, action.from_environment(each) + first_A, 1)
                for each in (found, wanted)
            )
            differences.append(np.abs(one_EA - other_EA))
            num_differing += int((found != wanted).sum())
            num_choices += wanted.size
    difference = float(np.max([each.max() for each in differences]))
    allowed = _rounding_error(acting, max(largest))
    if not difference <= allowed:  # also if it is NaN
        how = (
            f"{num_differing:,} of {num_choices:,} choices differ from the policy's, "
            f"between logits up to {difference:.1e} apart"
        )
        if not num_choices:
            how = f"its actions differ from the policy's by up to {difference:.1e} of their range"
        raise UserError(
            f"{path} is not written - {how}, more than the {allowed:.0e} of rounding - {_OUTSIDE}"
        )
    return difference, num_differing, num_choices


def _watch_intermediates(network: nn.Module) -> list[float]:
    """Return a list, starting with 1, to which later calls of the network append the largest absolute output of each layer."""
    largest = [1.0]

    def look(layer: nn.Module, given: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        largest.extend(float(part.abs().max()) for part in parts if isinstance(part, Tensor))

    for layer in network.modules():
        if layer is network or next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(look)
    return largest


def _rounding_error(acting: DeterministicPolicy, scale: float) -> float:
    """Largest difference that rounding explains between two computations of an action (in ranges) or of a logit.

    4 eps sqrt(depth terms) scale: layers, inputs of the widest, largest intermediate, as `tests/tolerance.py` derives it.
    Actions themselves are rounded to their own dtype, up or down.
    """
    weights = [parameter for parameter in acting.parameters() if parameter.dim() > 1]
    terms = max((weight[0].numel() for weight in weights), default=1)
    allowed = 4 * np.finfo(np.float32).eps * math.sqrt((1 + len(weights)) * terms) * scale
    if isinstance(acting.action, BoxAction):
        low, high = acting.action.low.astype(np.float64), acting.action.high.astype(np.float64)
        coarsest = max(np.finfo(acting.action.low.dtype).eps, np.finfo(np.float32).eps)
        allowed += 2 * float(
            (coarsest * np.maximum(np.abs(low), np.abs(high)) / (high - low)).max()
        )
    return float(allowed)


def _require_place(path: Path) -> None:
    if path.suffix.lower() != ".onnx":
        raise UserError(
            f"{path} is no ONNX file's name - its suffix is {path.suffix or 'missing'} - use .onnx"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"{path} cannot be written - the folder {path.parent} does not exist - make it first"
        )
    if path.is_dir():
        raise UserError(f"{path} cannot be written - it is a folder - choose another name")


def _require_packages() -> Any:
    """onnxruntime, after the packages that write the file were found too. Raises `UserError`."""
    try:
        for package in ("onnx", "onnxscript"):
            importlib.import_module(package)
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError(
            f"export needs onnx, onnxscript and onnxruntime - {error} - pip install 'footlight[onnx]'"
        ) from error


@contextlib.contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write into, which takes its name at the end, and is gone where something fails."""
    partial = path.absolute().with_name(f".{path.stem}.{os.getpid()}.onnx")
    try:
        partial.touch()  # tried before the work, not after it
    except OSError as error:
        raise UserError(
            f"{path} cannot be written - {error.strerror} - choose another place"
        ) from error
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StorageFault(
            f"{path} cannot be written - {error.strerror or error} - free some space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
