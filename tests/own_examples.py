"""The two algorithms of docs/own-algorithm.md, as classes that can be imported."""

import sys
from types import ModuleType
from typing import Any

from documentation.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "own-algorithm.md"
BLOCKS: list[Block] = [block for block in blocks(PAGE) if block.language == "python"]


def _module(name: str, block: Block) -> Any:
    """A module of everything in a block but its last line, which trains."""
    module = ModuleType(name)
    sys.modules[name] = module
    text = "\n".join(line for line in block.text.splitlines() if not line.startswith("run = "))
    # The place in the page is where errors point to
    code = compile("\n" * block.line + text, str(PAGE), "exec", dont_inherit=True)
    exec(code, vars(module))
    return module


pure, torch_module = (
    _module(name, block) for name, block in zip(("own_pure", "own_torch"), BLOCKS, strict=True)
)
PureA2C: Any = pure.PureA2C
TorchA2C: Any = torch_module.TorchA2C
