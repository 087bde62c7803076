"""The Ray cluster that runs are trained on: one that exists, or one made on this machine.

Nothing is created before the cluster was found to be fit: it answers, it refuses commands without
its token, every node sees the folder, and has the versions that this process has.
"""

import contextlib
import importlib
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from footlight.errors import UserError, counted, summarize_error
from footlight.training import local_ray

LOCAL = "local"
CONNECT_SECONDS, CHECK_SECONDS, PROBE_SECONDS = 5.0, 20.0, 60.0
TOKEN_MODE = "RAY_AUTH_MODE"
_PACKAGES = "footlight", "torch", "numpy", "gymnasium"


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to, and what each call takes of it."""

    ray: Any
    """The module."""
    cpus: int
    """Of each call, which are its threads."""
    gpus: int = 0

    def __str__(self) -> str:
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        cpus = int(sum(node["Resources"].get("CPU", 0) for node in nodes))
        return f"{counted(len(nodes), 'node')} with {counted(cpus, 'CPU')}"


def require_ray() -> Any:
    """Ray, imported. Raises `UserError` if it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError(
            '--ray needs Ray, which is not installed - `pip install "footlight[ray]"`'
        ) from error


@contextlib.contextmanager
def connected(
    address: str | None, folder: Path | None, threads: int | None, device: str,
    sent: Mapping[str, Any], together: int = 1,
) -> Iterator[Cluster | None]:  # fmt: skip
    """The cluster at an address, HOST:PORT or "local", for calls on its nodes; None for None.

    folder: of runs, absolute; it need not exist; None: nodes need not see any. threads, device: of
    each call. sent: what the calls hold, which other nodes get. together: how many there have to
    be at the same time. Raises `UserError`.
    """
    if address is None:
        yield None
        return
    _require_plain(sent)
    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address == LOCAL:
            settings |= stack.enter_context(local_ray.prepared(together))
        else:
            _require_address(address)
            settings["address"] = address
        ray = require_ray()
        if ray.is_initialized():
            raise UserError("this process is connected to Ray - call ray.shutdown() first")
        if address != LOCAL:
            _require_token(address)
        stack.callback(ray.shutdown)
        try:
            with _own_sigterm():
                ray.init(**settings)
        except Exception as error:  # Ray raises many kinds
            raise UserError(
                f"cannot connect to Ray at {address} ({summarize_error(error):.150}) - this "
                f"machine has to be a node of it: `ray start --address={address}`"
                if address != LOCAL
                else f"cannot start Ray ({summarize_error(error):.150})"
            ) from error
        cluster = Cluster(ray, threads or 1, int(device == "cuda"))
        _require_resources(cluster, together)
        _require_nodes(ray, folder)
        yield cluster


def _require_plain(arguments: Mapping[str, Any]) -> None:
    """Raise `UserError` for arguments that are Python objects, which other nodes do not have."""
    for name, value in arguments.items():
        if not _is_plain(value):
            raise UserError(
                f"{name} is a Python object - other nodes do not have it - give an id or "
                "FILE.py:NAME of a file that all nodes have, or train without ray"
            )


def _is_plain(value: Any) -> bool:
    """Whether a value is data: text, numbers, and footlight's own classes that hold them."""
    if value is None or isinstance(value, str | int | float | np.generic | np.ndarray | PurePath):
        return True
    if isinstance(value, list | tuple | set | range):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    kind = type(value)
    return kind.__module__.startswith("footlight.") and all(map(_is_plain, vars(value).values()))


def _require_address(address: str) -> None:
    """Raise `UserError` unless something answers at HOST:PORT, and a token is demanded."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"ray is {address!r} - give local, or HOST:PORT of a cluster's head")
    if os.environ.get(TOKEN_MODE) != "token":
        raise UserError(
            f"{TOKEN_MODE} is not set to token - without a token a cluster takes commands from "
            "anyone who reaches it - start it with one, and set both here (docs/scale.md)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"nothing answers at {address} ({summarize_error(error)}) - check the address, or "
            "start a cluster: `ray start --head`"
        ) from error


def _require_token(address: str) -> None:
    """Raise `UserError` unless a cluster accepts this process's token and nobody without one.

    Ray's own check runs in other processes, since one that waits cannot be interrupted, and a
    process reads its token only once.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, TOKEN_MODE: mode},
        )
        for mode in ("token", "disabled")
    ]  # fmt: skip
    end = time.monotonic() + CHECK_SECONDS
    with_token, without = (_answer(process, end) for process in processes)
    if with_token is None or "Auth" in with_token:
        why = "it refuses the token of this machine" if with_token else "what is there is not Ray"
        raise UserError(f"no cluster to use at {address} - {why} - see docs/scale.md")
    if without is None or "Auth" not in without:
        raise UserError(
            f"the cluster at {address} has no token - it takes commands from anyone who reaches it "
            f"- start it again with {TOKEN_MODE}=token (docs/scale.md)"
        )


def _answer(process: "subprocess.Popen[bytes]", end: float) -> str | None:
    """What a check has written on standard error; None if it had to be stopped at `end`."""
    try:
        seconds = max(0.0, end - time.monotonic())
        return process.communicate(timeout=seconds)[1].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put back the handler of SIGTERM, which Ray replaces by one that exits."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _require_resources(cluster: Cluster, together: int) -> None:
    """Raise `UserError` if no node is large enough for one call, or all nodes are too few for those
    that have to run at the same time: they would wait forever."""
    nodes = [node["Resources"] for node in cluster.ray.nodes() if node["Alive"]]
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    if not any(all(node.get(name, 0) >= wanted[name] for name in wanted) for node in nodes):
        largest = int(max((node.get("CPU", 0) for node in nodes), default=0))
        gpu = " and a GPU" * cluster.gpus
        raise UserError(
            f"no node has {counted(cluster.cpus, 'CPU')}{gpu}, which a run takes - the largest has "
            f"{largest} - give fewer --threads{' or --device cpu' * cluster.gpus}"
        )
    if (cpus := int(sum(node.get("CPU", 0) for node in nodes))) < together * cluster.cpus:
        raise UserError(
            f"the cluster has {counted(cpus, 'CPU')}, and {together} collectors take one each - "
            "give fewer --collectors, or add nodes"
        )


def _require_nodes(ray: Any, folder: Path | None) -> None:
    """Raise `UserError` unless every node has these versions and can write where `folder` is."""
    with _marked(folder) as mark:
        refs: dict[Any, str] = {}
        for node in ray.nodes():
            if node["Alive"]:
                where = on_node(node["NodeID"])
                probe = ray.remote(num_cpus=0, max_calls=1, scheduling_strategy=where)(_probe)
                refs[probe.remote(mark)] = node["NodeManagerAddress"]
        ready, late = ray.wait([*refs], num_returns=len(refs), timeout=PROBE_SECONDS)
        for ref in (*late, *ready):
            _require_fit(refs[ref], mark, _found(ray, ref) if ref in ready else "does not answer")


@contextlib.contextmanager
def _marked(folder: Path | None) -> Iterator[str | None]:
    """A file where `folder` is or will be, for the nodes to see. Raises `UserError`."""
    if folder is None:
        yield None
        return
    there = next(path for path in (folder, *folder.parents) if path.exists())
    mark = there / f".footlight-{secrets.token_hex(8)}"
    try:
        mark.touch()
    except OSError as error:
        raise UserError(
            f"cannot write in {there} - {error.strerror} - choose another --run-dir"
        ) from error
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)


def on_node(node: str) -> Any:
    """Ray's scheduling strategy for one node only."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def _found(ray: Any, ref: Any) -> Mapping[str, Any] | str:
    """What a node says of itself; a text if it could not."""
    try:
        return dict(ray.get(ref))
    except Exception as error:
        return f"cannot run footlight ({summarize_error(error):.150})"


def _probe(mark: str | None) -> dict[str, Any]:
    """Runs on a node: its versions, and whether it can write where the file `mark` is."""
    is_shared = mark is None or (
        os.path.exists(mark) and os.access(os.path.dirname(mark), os.W_OK | os.X_OK)
    )
    return {"versions": _versions(), "is_shared": is_shared}


def _versions() -> dict[str, str]:
    """The versions that a run's numbers depend on, without importing the packages."""
    return {"Python": platform.python_version()} | {
        name: metadata.version(name) for name in _PACKAGES
    }


def _require_fit(node: str, mark: str | None, found: Mapping[str, Any] | str) -> None:
    if isinstance(found, str):
        raise UserError(f"the node {node} {found} - install the same there, or remove the node")
    for name, here in _versions().items():
        if (other := found["versions"].get(name)) != here:
            raise UserError(
                f"the node {node} has {name} {other}, and this machine {here} - numbers would "
                "depend on the node - install the same version on both"
            )
    if not found["is_shared"]:
        there = os.path.dirname(mark or "")
        raise UserError(
            f"{there} is not on the node {node}, or cannot be written there - a run continues on "
            "another node from its folder - give --run-dir on a shared file system"
        )
