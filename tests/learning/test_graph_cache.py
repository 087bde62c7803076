"""Compiled updates of earlier runs: named by what they compute, found without the compiler."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

import footlight
from footlight.algorithms import ALGORITHMS, find
from footlight.learning import compilation, graph_cache
from footlight.learning.compilation import CompilerMissing, compile_checked, compile_in_place


def key(function: Callable[..., None], *tensors: torch.Tensor, settings: object = 0) -> str | None:
    return graph_cache.key_of(function, tensors, settings)


def scaled_step(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    parameters.sub_(gradient * 0.1)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_name_does_not_depend_on_numbers_and_nothing_is_changed() -> None:
    given = numbers(3), numbers(3, seed=1)
    found = key(scaled_step, *given)
    assert found is not None
    assert found == key(scaled_step, numbers(3, seed=2), numbers(3, seed=3))
    assert torch.equal(given[0], numbers(3))


def twice_as_far(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    parameters.sub_(gradient * 0.2)


def other_way(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    parameters.add_(gradient * 0.1)


def other_target(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    gradient.sub_(parameters * 0.1)


def tensor_constant(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    parameters.sub_(gradient * torch.tensor(0.1))


@pytest.mark.parametrize("other", [twice_as_far, other_way, other_target, tensor_constant])
def test_other_functions_have_other_names(other: Callable[..., None]) -> None:
    assert key(other, numbers(3), numbers(3)) != key(scaled_step, numbers(3), numbers(3))


def test_name_depends_on_shapes_strides_types_settings_and_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def doubled(x: torch.Tensor) -> None:
        x.mul_(2)

    names = [
        key(doubled, numbers(4, 4)),
        key(doubled, numbers(2, 8)),
        key(doubled, numbers(4, 4).T),
        key(doubled, numbers(4, 4, dtype=torch.float64)),
        key(doubled, numbers(4, 4), settings=1),
    ]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        names.append(key(doubled, numbers(4, 4)))
    finally:
        torch.set_num_threads(threads)
    names.append(key(doubled, numbers(4, 6)[:, :4]))
    monkeypatch.setenv("TORCHINDUCTOR_CPP_ENABLE_UNSAFE_MATH_OPT_FLAG", "1")
    names.append(key(doubled, numbers(4, 4)))
    assert len({*names}) == len(names) == 8


def test_function_that_fails_on_the_numbers_at_hand_has_no_name() -> None:
    random = torch.get_rng_state()
    singular = torch.zeros(2, 2)
    assert key(lambda x, y: y.copy_(torch.linalg.inv(x)), singular, singular) is None
    assert key(lambda x: x.copy_(torch.rand(3)), numbers(3)) is not None
    assert torch.equal(torch.get_rng_state(), random)


def test_wrong_library_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))

    def wrong(folder: Path, name: str) -> graph_cache.Graph:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.so").touch()
        return lambda given: other_way(*given)

    monkeypatch.setattr(graph_cache, "load", wrong)
    with pytest.raises(CompilerMissing, match="differ"):
        compile_checked(scaled_step, [numbers(3), numbers(3)])
    assert [*tmp_path.glob("footlight/*")] == []


def test_which_part_is_changed_belongs_to_the_name() -> None:
    def change(k: int) -> Callable[..., None]:
        return lambda x: x[k].add_(1)

    assert len({key(change(k), numbers(3, 2)) for k in range(3)}) == 3


def test_value_of_a_constant_belongs_to_the_name() -> None:
    def add(constant: float) -> Callable[..., None]:
        held = torch.tensor(constant)
        return lambda x: x.add_(held)

    assert key(add(1.0), numbers(3)) == key(add(1.0), numbers(3))
    assert key(add(1.0), numbers(3)) != key(add(2.0), numbers(3))


def test_functions_with_arrays_of_their_own_or_decisions_have_no_name() -> None:
    held = numbers(3)
    low, high = held[0], held[1]  # one number each, of which only one would be seen first
    assert key(lambda x: x.add_(held), numbers(3)) is None
    assert key(lambda x: x.copy_(x.minimum(high).maximum(low)), numbers(3)) is None
    assert key(lambda x: x.mul_(2), numbers(3, 1).expand(3, 2)) is None
    assert key(lambda x: x.add_(1) if x.sum() > 0 else None, numbers(3)) is None


def test_updates_of_every_algorithm_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str | None] = []

    def noted(function: Any, tensors: Any, announce: object) -> Callable[[], None]:
        names.append(graph_cache.key_of(function, tensors, None))
        return lambda: function(*tensors)

    monkeypatch.setattr("footlight.learning.compiled_updates.compile_in_place", noted)
    box, choice = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    for name in ALGORITHMS:
        actions = box if "box" in find(name).ACTIONS else choice
        num_before = len(names)
        footlight.Agent(name, box, actions, compile="on").compile()
        assert len(names) > num_before, name
        assert None not in names, name


def test_what_was_compiled_is_found_and_a_damaged_library_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    made: list[str | None] = []
    announced: list[int] = []
    original = graph_cache.keep

    def noted(cache: Path, name: str | None, library: Path | None) -> None:
        made.append(name)
        original(cache, name, library)

    monkeypatch.setattr(graph_cache, "keep", noted)
    given = [numbers(3), numbers(3, seed=1)]
    wanted = given[0] - given[1] * 0.1
    compile_in_place(scaled_step, given, lambda: announced.append(1))()
    assert torch.allclose(given[0], wanted)
    (library,) = tmp_path.glob("footlight/*.so")
    assert [library.stem] == made
    whole = library.read_bytes()
    library.write_bytes(whole[:40])
    other = [numbers(3, seed=5), numbers(3)]
    compile_in_place(scaled_step, other, lambda: announced.append(2))()
    assert len(made) == 2
    again = [numbers(3), numbers(3, seed=1)]
    compile_in_place(scaled_step, again, lambda: announced.append(3))()
    assert torch.equal(again[0], given[0])
    assert len(made) == 2
    assert announced == [1, 2]


def test_processes_that_need_the_same_function_compile_it_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second one waits for the first, and finds what that has made."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    given = [numbers(3), numbers(3, seed=1)]
    name, made = "", list[str]()

    def compiled(function: Any, tensors: Any, cache: Path, key: str) -> graph_cache.Graph:
        nonlocal name
        name = key
        made.append("first" if threading.current_thread() is threading.main_thread() else "second")
        return lambda given: scaled_step(*given)

    monkeypatch.setattr(compilation, "_compiled", compiled)
    compile_in_place(scaled_step, given)
    announced = threading.Event()
    second = threading.Thread(target=compile_in_place, args=(scaled_step, given, announced.set))
    with graph_cache.claimed(tmp_path / "footlight", name):
        second.start()
        assert announced.wait(60)
        second.join(0.2)
        assert second.is_alive()  # it waits
        monkeypatch.setattr(graph_cache, "load", lambda cache, key: scaled_step)
    second.join(60)
    assert not second.is_alive()
    assert made == ["first"]


@pytest.mark.parametrize("key", [None, "name"])
def test_folder_that_cannot_be_written_does_not_prevent_compiling(
    key: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "footlight"
    folder.write_text("not a folder")
    with graph_cache.claimed(folder, key), graph_cache.claimed(folder, key):
        graph_cache.keep(folder, key, Path(__file__))
    assert folder.is_file()


def test_libraries_that_were_not_used_for_longest_make_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(graph_cache, "MAX_LIBRARIES", 3)
    folder = tmp_path / "compiled"
    for number in range(5):
        with graph_cache.claimed(folder, f"name{number}"):
            graph_cache.keep(folder, f"name{number}", Path(__file__))
        os.utime(folder / f"name{number}.so", (number, number))
    assert sorted(path.stem for path in folder.glob("*.so")) == ["name2", "name3", "name4"]
    assert sorted(path.stem for path in folder.glob("*.lock")) == ["name2", "name3", "name4"]
    assert graph_cache.size(folder) == 3


RUN = """
import json, sys
import gymnasium, numpy as np
from footlight import Agent
from footlight.trees import tree_items

small = {"hidden_sizes": (8, 8), "batch_size": 8, "buffer_size": 100, "learning_starts": 8}
found = []
for bounds, settings in json.loads(sys.argv[1]):
    spaces = [gymnasium.spaces.Box(-float(bound), float(bound), (2,)) for bound in bounds]
    agent = Agent("ddpg", *spaces, compile="on", notice=lambda message: None, **small, **settings)
    world = np.random.default_rng(0)
    for step in range(12):
        seen, following, action = world.uniform(-1, 1, (3, 2)).astype(np.float32)
        agent.observe(seen, action, seen.sum(), following, step % 5 == 4, False)
    leaves = tree_items(agent.state)
    state = {name: np.asarray(leaf).tobytes().hex() for name, leaf in leaves.items()}
    found.append([agent.compiled, "torch._inductor" in sys.modules, state])
print(json.dumps(found))
"""


def test_other_process_seed_length_and_environment_compile_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*agents: tuple[tuple[int, int], dict[str, int]]) -> Any:
        command = [sys.executable, "-c", RUN, json.dumps(agents)]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    agent, other = ((1, 2), {"seed": 1, "total_steps": 50}), ((3, 4), {"seed": 2})
    ((*made, state),) = run(agent)
    assert made == [True, True]
    (*found, same), (*found_too, others) = run(agent, other)
    assert found == found_too == [True, False]
    assert same == state != others
