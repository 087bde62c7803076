"""Features of observations of a Dict."""

import numpy as np
import pytest
import torch

from footlight.networks.bodies import Architecture, combined, mlp
from footlight.networks.combined import Combined, leaf_torso
from footlight.trees import Leaf

LEAVES = {
    "small": Leaf(shape=(2, 3), dtype="uint8"),
    "vector": Leaf(shape=(2,), dtype="float32"),
    "choice": Leaf(shape=(), dtype="int64", choices=(range(5, 8),)),
    "choices": Leaf(shape=(2,), dtype="int64", choices=(range(2), range(1, 3))),
    "bits": Leaf(shape=(2,), dtype="int8"),
}
CAMERA = {"camera": Leaf(shape=(36, 36), dtype="uint8")}


def test_leaves_side_by_side() -> None:
    observation = {
        "small": torch.full((1, 2, 3), 255, dtype=torch.uint8),
        "vector": torch.tensor([[0.5, -2.0]]),
        "choice": torch.tensor([6]),
        "choices": torch.tensor([[0, 2]]),
        "bits": torch.tensor([[1, 0]], dtype=torch.int8),
    }
    features = Combined(LEAVES)
    found = features(observation)
    assert found.tolist() == [[1] * 6 + [0.5, -2] + [0, 1, 0] + [1, 0, 0, 1] + [1, 0]]
    assert found.shape[1] == features.num_features


@pytest.mark.parametrize(("torso", "size"), [("mlp", 36 * 36), ("nature", 64), ("auto", 64)])
def test_images_go_through_convolutions(torso: str, size: int) -> None:
    leaves = {"vector": LEAVES["vector"], **CAMERA}
    features = Combined(leaves, torso)  # type: ignore[arg-type]
    assert features.num_features == size + 2
    assert leaf_torso("nature", LEAVES["vector"]) == "mlp"


def test_body_on_a_dict() -> None:
    architecture = Architecture((4,), torso="auto", leaves=CAMERA)
    module = combined(architecture, lambda shape, inner: mlp(shape, 2, inner))
    seen = torch.from_numpy(np.zeros((3, 36, 36), np.uint8))
    assert module({"camera": seen}).shape == (3, 2)
