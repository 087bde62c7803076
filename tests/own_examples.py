"""The algorithms of docs/own-algorithm.md, as classes that can be imported."""

import sys
from types import ModuleType
from typing import Any

from documentation.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "own-algorithm.md"
BLOCKS: list[Block] = [block for block in blocks(PAGE) if block.language == "python"]
NAMES = "own_pure", "own_replay", "own_torch"


def _module(name: str, block: Block) -> Any:
    """A module of everything in a block but its last statement, which trains."""
    module = ModuleType(name)
    sys.modules[name] = module
    text, _, _ = block.text.partition("\nrun = ")
    # The place in the page is where errors point to
    code = compile("\n" * block.line + text, str(PAGE), "exec", dont_inherit=True)
    exec(code, vars(module))
    return module


pure, replay, torch_module = (
    _module(name, block) for name, block in zip(NAMES, BLOCKS, strict=True)
)
PureA2C: Any = pure.PureA2C
DoubleQ: Any = replay.DoubleQ
TorchA2C: Any = torch_module.TorchA2C
