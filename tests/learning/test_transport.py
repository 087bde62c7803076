"""States between devices and arrays."""

import numpy as np
import torch

from footlight.learning.transport import as_array, to_device


def test_array_shares_the_memory_of_a_tensor_on_the_cpu() -> None:
    tensor = torch.zeros(3, requires_grad=True)
    as_array(tensor)[1] = 5
    assert tensor.tolist() == [0, 5, 0]
    array = np.ones(2)
    assert as_array(array) is array


def test_to_device_moves_tensors_and_leaves_others() -> None:
    here = torch.ones(2)
    tree = {"a": {"b": here}, "c": np.ones(1)}
    same, moved = to_device(tree, torch.device("cpu")), to_device(tree, torch.device("meta"))
    assert same["a"]["b"] is here
    assert moved["a"]["b"].is_meta
    assert moved["c"] is tree["c"]
