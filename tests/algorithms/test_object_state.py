"""Objects as data: what is written, what comes back in place, and what is refused."""

import json
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from footlight.algorithms.object_state import (
    Saved,
    fixed,
    moved,
    named_modules,
    require_known,
    restore,
    saved,
)
from footlight.errors import UserError

NOTHING: frozenset[str] = frozenset()


@dataclass
class Running:
    mean: float = 0.0
    sums: Any = field(default_factory=lambda: torch.zeros(2))


class Everything:
    """One attribute of each kind."""

    def __init__(self) -> None:
        self.network, self.other = nn.Linear(2, 2), [nn.Linear(2, 1), nn.BatchNorm1d(2)]
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer)
        self.adam = {"adam": torch.optim.Adam(self.other[0].parameters(), amsgrad=True)}
        self.count, self.best, self.flag, self.text, self.nothing = 0, -math.inf, False, "a", None
        self.tensor, self.half = torch.zeros(3), torch.zeros(2, dtype=torch.bfloat16)
        self.array, self.number = np.zeros(2), np.float32(0)
        self.nested: Any = {"a": [1, (2.0, torch.zeros(1))], 3: {}}
        self.last = deque([0.0], maxlen=3)
        self.random, self.torch_random = np.random.default_rng(0), torch.Generator()
        self.running = Running()
        self.alias = self.tensor
        self.space, self.function, self.kind = gymnasium.spaces.Discrete(2), math.sqrt, dict

    def change(self) -> None:
        for _ in range(2):
            loss = self.network(torch.ones(3, 2)).sum() + self.other[0](torch.ones(1, 2)).sum()
            loss.backward()
            self.other[1](torch.arange(8.0).view(4, 2))
            for optimizer in (self.optimizer, self.adam["adam"]):
                optimizer.step()
            self.scheduler.step()
            self.plateau.step(float(loss.detach()))
        self.count, self.best, self.flag, self.text = 7, 0.1, True, "b"
        self.tensor += 1
        self.half += 1 / 3
        self.array += 0.1
        self.number = np.float32(0.3)
        self.nested = {"a": [2, (3.0, torch.ones(1))], 3: {"new": math.nan}}
        self.last.extend([1.0, 2.0, 3.0, 4.0])
        self.random.random(5)
        torch.rand(3, generator=self.torch_random)
        self.running.mean, self.running.sums = 0.5, self.running.sums + 1


def through_json(given: Saved) -> Saved:
    record = json.loads(json.dumps(given.record, allow_nan=False))
    return Saved(record, {name: array.copy() for name, array in given.arrays.items()})


def content(owner: object) -> Any:
    given = saved(owner, "it", NOTHING)
    return given.record, {name: (a.dtype, a.tobytes()) for name, a in given.arrays.items()}


def test_everything_comes_back_bit_by_bit_and_in_place() -> None:
    changed, other = Everything(), Everything()
    changed.change()
    parameter, tensor, running = other.network.weight, other.tensor, other.running
    restore(other, "it", through_json(saved(changed, "it", NOTHING)))
    assert content(other) == content(changed)
    assert other.network.weight is parameter
    assert other.tensor is tensor is other.alias
    assert other.running is running
    assert other.last.maxlen == 3
    assert other.half.dtype == torch.bfloat16
    assert type(other.number) is np.float32
    assert other.nested["a"][1] == (3.0, torch.ones(1))
    for each in (changed, other):
        each.change()
    assert content(other) == content(changed)


def test_what_cannot_be_written_is_an_error() -> None:
    class Odd:
        def __init__(self, value: Any) -> None:
            self.odd = value

    for value in (object(), {1, 2}, [iter([])], {"a": Odd(1)}, torch.zeros(1, dtype=torch.cfloat)):
        with pytest.raises(UserError, match=r"Mine\.odd.* is a .* no checkpoint can hold"):
            saved(Odd(value), "Mine", NOTHING)
    assert saved(Odd(object()), "Mine", frozenset({"odd"})).record == {}


def test_other_attributes_and_other_modules_are_errors() -> None:
    class Small:
        def __init__(self, size: int) -> None:
            self.network = nn.Linear(size, 1)

    with pytest.raises(UserError, match="it has no `network` now"):
        restore(Running(), "it", saved(Small(2), "it", NOTHING))
    with pytest.raises(RuntimeError, match="size mismatch"):
        restore(Small(3), "it", saved(Small(2), "it", NOTHING))


def test_attributes_that_came_later_come_back_and_numbers_keep_their_shape() -> None:
    changed, other = Everything(), Everything()
    changed.later = [1, torch.tensor(2.5)]  # type: ignore[attr-defined]
    changed.change()
    restore(other, "it", through_json(saved(changed, "it", NOTHING)))
    assert vars(other)["later"] == [1, torch.tensor(2.5)]
    assert vars(other)["later"][1].shape == ()
    state: Any = other.adam["adam"].state_dict()["state"]
    assert state[0]["step"].shape == ()


def test_objects_that_came_later_are_an_error() -> None:
    class Growing:
        def __init__(self) -> None:
            self.networks: list[Any] = [nn.Linear(1, 1)]
            self.state: dict[str, Any] = {"best": 1.0}

    mine = Growing()
    known = frozenset(fixed(saved(mine, "Mine", NOTHING).record))
    assert known == {"networks.0"}
    mine.state["best"] = 2.0
    require_known(saved(mine, "Mine", NOTHING).record, known, "Mine")
    mine.networks.append(nn.Linear(1, 1))
    with pytest.raises(UserError, match=r"Mine\.networks\.1 was not there .* make it in __init__"):
        require_known(saved(mine, "Mine", NOTHING).record, known, "Mine")
    mine.networks.pop()
    mine.state["counts"] = [Running()]
    with pytest.raises(UserError, match=r"Mine\.state\.counts\.0 was not there"):
        require_known(saved(mine, "Mine", NOTHING).record, known, "Mine")


def test_modules_are_found_in_lists_and_dicts() -> None:
    assert len(named_modules(vars(Everything()))) == 3


def test_moving_keeps_parameters_and_moves_tensors() -> None:
    mine = Everything()
    mine.change()
    before, parameter = content(mine), mine.network.weight
    moved(mine, torch.device("cpu"), NOTHING)
    assert mine.network.weight is parameter
    assert content(mine) == before

    class Plain:
        def __init__(self) -> None:
            self.tensors = {"a": [torch.zeros(1)]}

    plain = Plain()
    moved(plain, torch.device("meta"), NOTHING)
    assert plain.tensors["a"][0].is_meta
