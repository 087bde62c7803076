"""Export of a trained policy to one ONNX file, which needs neither footlight nor torch to run.

The file holds normalizer, network, the mode of the head, and rescaling. It is compared with the
policy itself before it appears.
"""

import contextlib
import importlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from footlight import __version__
from footlight.ambient import computes
from footlight.errors import StorageFault, UserError, warn
from footlight.instruments.comparison import BATCHES, compare
from footlight.instruments.deterministic import DeterministicPolicy
from footlight.learning.policy import restore
from footlight.storage import checkpoint
from footlight.storage.files import user_path
from footlight.trees import leaves_of, map_leaves, rebuilt
from footlight.types import Array, BoxAction, Spaces


@dataclass(frozen=True)
class Export:
    """A policy in a file, and the differences between the file's actions and the policy's."""

    path: Path
    difference: float
    """The largest one: of continuous actions, in ranges (high - low); of discrete choices that
    differ, between their logits."""
    num_differing: int
    """Discrete choices that differ; 0 for continuous actions."""
    num_choices: int
    """Discrete choices compared, over all observations; 0 for continuous actions."""
    in_fp32: bool
    """Whether the policy was trained in bf16; it is compared as it acts in fp32."""

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
    """Export the policy saved at `path` to the ONNX file `output`.

    path: a run folder, a checkpoint or a saved agent. Its environment is not created.
    algorithm, network: your own classes, if the run was made with them.

    The input `observation` [batch, *observation shape] is raw, in the dtype that the policy stores;
    the output `action` [batch, *action shape] is what `Policy.act` returns: deterministic, in the
    environment's own units and dtype. A policy trained in bf16 is exported in fp32. For a Dict or
    Tuple space there is an input `observation.LEAF` for each leaf, by its dotted name.

    Raises `UserError` if the policy cannot be exported or the file would act differently, and
    `StorageFault` if the file cannot be written. In both cases it does not appear.
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
    with _replacing(output) as partial:
        metadata = _metadata(manifest, policy.spaces)
        with _export_errors():
            content = _onnx(acting, policy.spaces, metadata)
            session = _session(runtime, content)

        def run(observations: Array) -> Array:
            with _export_errors():
                actions: Array = session.run(["action"], _inputs(observations))[0]
            return actions

        comparison = compare(output, policy, acting, run)
        partial.write_bytes(content)
    return Export(output, *comparison, in_bf16)


@contextlib.contextmanager
def _export_errors() -> Iterator[None]:
    """Turn errors of the exporter and the runtime into `UserError`, and silence their messages."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    discarded = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(discarded),
            contextlib.redirect_stderr(discarded),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # a network of the user's can make the exporter raise anything
        lines = [*str(error.__cause__ or error).split("\n"), type(error).__name__]
        reason = next(line.strip() for line in lines if line.strip())[:200]
        raise UserError(
            f"the network cannot be expressed in ONNX - {reason} - "
            "use operations that torch.onnx.export supports, for any batch size"
        ) from error
    finally:
        logging.disable(disabled)


def _onnx(acting: DeterministicPolicy, spaces: Spaces, metadata: dict[str, str]) -> bytes:
    """The content of the file."""
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
        part.ClearField("metadata_props")  # source files and lines
    # Initializers have shapes of their own. A second entry becomes stale when a quantizer
    # transposes the weights.
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


def _inputs(observations: Array) -> dict[str, Array]:
    leaves = leaves_of(observations).items()
    return {_input_name(name): np.ascontiguousarray(leaf) for name, leaf in leaves}


def _metadata(manifest: dict[str, Any], spaces: Spaces) -> dict[str, str]:
    """The metadata of the file, all text."""
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
            _input_name(
                name
            ): f"{leaf.dtype} {list(leaf.shape)}, raw, as the environment returns it"
            for name, leaf in spaces.observation.items()
        },
        "action": f"{dtype} {list(action.shape)}, deterministic, as the environment takes it: "
        f"{kind}",
        "spaces": json.dumps(spaces.to_json()),
    }
    return found | ({"environment": manifest["run"]["environment"]} if "run" in manifest else {})


def _session(runtime: Any, content: bytes) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _require_place(path: Path) -> None:
    if path.suffix.lower() != ".onnx":
        raise UserError(
            f"{path} is not an ONNX file - its suffix is {path.suffix or 'missing'} - use .onnx"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"{path} cannot be written - the folder {path.parent} does not exist - create it first"
        )
    if path.is_dir():
        raise UserError(f"{path} cannot be written - it is a folder - choose another name")


def _require_packages() -> Any:
    """Return onnxruntime. Raises `UserError` if it or a package of the exporter is missing."""
    try:
        for package in ("onnx", "onnxscript"):
            importlib.import_module(package)
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError(
            f"export needs onnx, onnxscript and onnxruntime - {error} - "
            'pip install "footlight[onnx]"'
        ) from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file, which replaces `path` at the end, or is removed on an error."""
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
