"""Updates on a GPU as CUDA graphs: hundreds of kernels are launched by one call.

A kernel of such an update takes less time than launching it, so an eager update waits for the
processor. `torch.compile(mode="reduce-overhead")` makes graphs, too, but manages their memory at
three times the cost of the launch (pytorch/pytorch#150488). That is not needed here: an update
reads and changes tensors that are allocated once, so a graph can be captured by hand. Random
numbers are among these tensors, so a resumed run has no generator on the device to restore.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UPS = 3  # calls in which libraries allocate what they keep, which a graph cannot do


def captured(function: Callable[..., None], tensors: Sequence[Tensor]) -> Callable[[], None]:
    """`function(*tensors)` as a function without arguments that launches one CUDA graph.

    function: changes some of the tensors in place, and never waits for the device. The tensors are
    left as they were. Raises whatever the function or the capture raises.
    """
    before = [tensor.clone() for tensor in tensors]
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(side), torch.no_grad():
            for _ in range(WARM_UPS):
                function(*tensors)
    finally:
        torch.cuda.current_stream().wait_stream(side)
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():  # which records, and computes nothing
        function(*tensors)
    replay: Callable[[], None] = graph.replay
    return replay
