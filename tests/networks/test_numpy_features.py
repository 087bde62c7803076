"""Features of leaves in NumPy equal those of torch."""

import numpy as np
import torch

from footlight.networks.bodies import Architecture, DeterministicActor, combined
from footlight.networks.combined import EMBEDDING_SIZE, MAX_ONE_HOT, Combined
from footlight.networks.flat import Network, as_tensors
from footlight.networks.numpy_features import numpy_features
from footlight.networks.numpy_forward import numpy_forward
from footlight.trees import Leaf, packed, record_dtype
from tolerance import assert_close

MANY = MAX_ONE_HOT + 5
LEAVES = {
    "bytes": Leaf(shape=(2, 3), dtype="uint8"),
    "vector": Leaf(shape=(2,), dtype="float32"),
    "scalar": Leaf(shape=(), dtype="float32"),
    "choice": Leaf(shape=(), dtype="int64", choices=(range(5, 8),)),
    "choices": Leaf(shape=(2,), dtype="int64", choices=(range(2), range(-1, MANY - 1))),
}
SEEN = packed(
    {
        "bytes": np.arange(24, dtype=np.uint8).reshape(4, 2, 3),
        "vector": np.arange(8, dtype=np.float32).reshape(4, 2),
        "scalar": np.arange(4, dtype=np.float32),
        "choice": np.array([5, 7, 6, 6]),
        "choices": np.array([[0, -1], [1, 0], [1, MANY - 2], [0, 500]]),
    },
    record_dtype(LEAVES),
    (4,),
)


def test_equal_those_of_torch() -> None:
    features = Combined(LEAVES)
    forward = numpy_features(features, {n: p.detach() for n, p in features.named_parameters()})
    assert forward is not None
    expected = features(as_tensors(SEEN, torch.device("cpu"))).detach().numpy()
    assert expected.shape == (4, features.num_features)
    assert features.num_features == 6 + 2 + 1 + 3 + 2 + EMBEDDING_SIZE
    assert np.array_equal(forward(SEEN), expected)


def test_one_leaf_without_a_name() -> None:
    features = Combined({"": LEAVES["choice"]})
    forward = numpy_features(features, {})
    assert forward is not None
    assert forward(np.array([7, 5])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert features(torch.tensor([7, 5])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_images_are_left_to_torch() -> None:
    features = Combined({**LEAVES, "camera": Leaf(shape=(36, 36), dtype="uint8")})
    assert numpy_features(features, dict(features.named_parameters())) is None


def test_actor_on_leaves_acts_in_numpy() -> None:
    architecture = Architecture((8,), torso="auto", leaves=LEAVES)
    actor = combined(architecture, lambda shape, inner: DeterministicActor(shape, 2, inner))
    network = Network([actor])
    forward = numpy_forward(network.module, network.unflatten(network.initial))
    assert forward is not None
    expected = network(network.initial, as_tensors(SEEN, torch.device("cpu"))).numpy()
    found = torch.from_numpy(forward(SEEN))
    assert_close(found, torch.from_numpy(expected), terms=80, depth=4, scale=10.0)
