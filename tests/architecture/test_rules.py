"""Every rule, on snippets that break it and on snippets that do not."""

from pathlib import Path

import pytest
from architecture import rules
from architecture.everywhere import EVERYWHERE
from architecture.rules import Rule
from architecture.sources import parse

EIGHT = ", ".join("abcdefgh")
BROKEN: list[tuple[Rule, str, str]] = [
    (rules.wrong_arrows, "equations/returns.py", "from footlight.networks import mlp"),
    (rules.wrong_arrows, "equations/returns.py", "def f():\n    import footlight.training.loop"),
    (rules.wrong_arrows, "buffers/replay.py", "from ..learning.agent import Agent"),
    (rules.wrong_arrows, "networks/bodies.py", "from footlight import algorithms"),
    (rules.wrong_arrows, "training/loop.py", "import footlight"),
    (rules.wrong_arrows, "helpers.py", ""),
    (rules.long_file, "learning/agent.py", "x = 1\n" * 301),
    (rules.long_function, "learning/agent.py", "def f():\n" + "    x = 1\n" * 60),
    (rules.long_function, "api.py", "class A:\n  async def f(self):\n" + "    x = 1\n" * 60),
    (rules.wide_signature, "api.py", f"def f({EIGHT}, i): ..."),
    (rules.wide_signature, "api.py", f"def f({EIGHT}, **others): ..."),
    (rules.wide_signature, "api.py", f"class A:\n    def f(self, /, {EIGHT}, *, i): ..."),
    (rules.long_line, "api.py", f"x = '{'-' * 100}'"),
    (rules.long_line, "api.py", f"# {'-' * 99}"),
    (rules.long_line, "api.py", f'"""First.\n\n{"-" * 101}\n"""'),
    (rules.asked_by_name, "api.py", "getattr(buffer, 'spans', dict)()"),
    (rules.asked_by_name, "api.py", "if hasattr(state, 'progress'): ..."),
    (rules.any_in_protocol, "algorithms/protocol.py", "from typing import Any"),
    (rules.any_in_protocol, "algorithms/protocol.py", "import typing\nx: typing.Any"),
    (rules.any_in_protocol, "algorithms/protocol.py", "def f(x: 'dict[str, Any]'): ..."),
    (
        rules.undocumented_field,
        "algorithms/sac.py",
        "class Config:\n    gamma: float = 0.99\n    tau: float = 0.005\n    'x'",
    ),
    (rules.undocumented_field, "algorithms/sac.py", "class Config:\n    gamma: float = 0.99"),
    (rules.undocumented_field, "algorithms/sac.py", "class Config:\n    gamma: float = 1\n    ' '"),
    (rules.compiler_named, "learning/agent.py", "import torch\nstep = torch.compile(step)"),
    (rules.compiler_named, "learning/agent.py", "from torch._inductor import config"),
    (rules.named_done, "learning/agent.py", "def f(done): ..."),
    (rules.named_done, "learning/agent.py", "batch.dones"),
    (rules.unsafe, "api.py", "from pickle import load"),
    (rules.unsafe, "api.py", "torch.load(path, weights_only=True)"),
    (rules.unsafe, "api.py", "from torch import load"),
    (rules.unsafe, "api.py", "eval('1')"),
    (rules.unsafe, "api.py", "np.load(path, allow_pickle=True)"),
    (
        rules.torch_in_runs,
        "runs/trackers/other.py",
        "def f():\n    from torch.utils.tensorboard import SummaryWriter",
    ),
    (rules.missing_from_layout, "helpers.py", ""),
    (rules.missing_from_layout, "helpers/text.py", ""),
    (rules.missing_from_layout, "environments/fresh.py", ""),
    (rules.without_test, "environments/fresh.py", "x = 1"),
    (rules.without_test, "fresh/__init__.py", "'''Doc.'''\nx = 1"),
]
INTACT: list[tuple[Rule, str, str]] = [
    (
        rules.wrong_arrows,
        "training/loop.py",
        "from footlight import __version__, learning\nfrom ..runs import write",
    ),
    (
        rules.wrong_arrows,
        "buffers/replay.py",
        "from footlight.buffers.ring import Ring\nfrom footlight.types import Batch",
    ),
    (rules.long_file, "learning/agent.py", "x = 1\n" * 300),
    (rules.long_function, "learning/agent.py", "def f():\n" + "    x = 1\n" * 59),
    (rules.wide_signature, "api.py", f"def f({EIGHT}): ..."),
    (rules.wide_signature, "api.py", f"class A:\n    def f(self, {EIGHT}): ..."),
    (rules.long_line, "api.py", f"# {'-' * 98}"),
    (rules.asked_by_name, "api.py", "getattr(config, field.name)\ngetattr(env, 'envs', ())"),
    (rules.any_in_protocol, "algorithms/sac.py", "from typing import Any"),
    (rules.any_in_protocol, "algorithms/protocol.py", "'Any algorithm.'\nx: 'dict[str, int]'"),
    (
        rules.undocumented_field,
        "algorithms/sac.py",
        "class Config:\n    gamma: float = 0.99\n    'Discount, in [0, 1].'",
    ),
    (rules.undocumented_field, "algorithms/sac.py", "class Config:\n    x: ClassVar[int] = 1"),
    (
        rules.undocumented_field,
        "algorithms/tqc.py",
        "from footlight.algorithms.sac import Config as SACConfig\n"
        "class Config(SACConfig):\n    gamma: float = 0.9",
    ),
    (rules.compiler_named, "learning/compilation.py", "import torch\ntorch.compile(step)"),
    (rules.named_done, "api.py", "# done\nx = 'done'"),
    (rules.unsafe, "api.py", "network.eval()\nnp.load(path, allow_pickle=False)"),
    (rules.torch_in_runs, "learning/agent.py", "import torch"),
    (rules.missing_from_layout, "learning/agent.py", ""),
    (rules.missing_from_layout, "environments/atari.py", ""),
    (rules.without_test, "environments/atari.py", "x = 1"),
    (rules.without_test, "fresh/__init__.py", "'''Doc.'''"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rule_finds_a_violation(rule: Rule, path: str, text: str) -> None:
    assert list(rule(parse(Path("footlight") / path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), INTACT)
def test_rule_accepts_good_code(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(parse(Path("footlight") / path, text)))


@pytest.mark.parametrize("cases", [BROKEN, INTACT])
def test_every_rule_is_tested_both_ways(cases: list[tuple[Rule, str, str]]) -> None:
    assert {rule for rule, _, _ in cases} == {rule for rule, _ in EVERYWHERE}
