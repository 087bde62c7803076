"""Random observations of every kind of leaf."""

import numpy as np

from footlight.instruments.random_observations import draw_observations
from footlight.learning.normalization import Normalizer
from footlight.trees import Leaf
from footlight.types import DiscreteAction, Spaces

ACTION = DiscreteAction(sizes=(2,), starts=(0,))
LEAVES = {
    "vector": Leaf(shape=(2,), dtype="float32"),
    "mode": Leaf(shape=(2,), dtype="int64", choices=(range(3, 5), range(2))),
    "camera": Leaf(shape=(4, 4), dtype="uint8"),
}


def test_leaves_lie_in_their_spaces() -> None:
    spaces = Spaces.of_leaves(LEAVES, ACTION)
    normalizer = Normalizer(spaces, 1, 0.9, True, False)
    normalizer.means["vector"][:] = 1000
    drawn = draw_observations(np.random.default_rng(0), 50, spaces, normalizer)
    assert drawn.shape == (50,)
    assert drawn.dtype == spaces.observation_dtype
    assert [np.unique(column).tolist() for column in drawn["mode"].T] == [[3, 4], [0, 1]]
    assert drawn["vector"].min() > 900
    assert drawn["camera"].max() > 200


def test_array_of_a_box() -> None:
    spaces = Spaces(observation_shape=(3,), observation_dtype="float32", action=ACTION)
    drawn = draw_observations(np.random.default_rng(0), 5, spaces, None)
    assert (drawn.shape, drawn.dtype) == ((5, 3), np.float32)
