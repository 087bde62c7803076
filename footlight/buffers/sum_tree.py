"""Sum tree: sampling of rows in proportion to their priorities (Schaul et al. 2016, appendix
B.2.1, arXiv:1511.05952).

Level 0 holds the priority of each row, and a node of any other level the sum of its two children. A
single root is not needed: the levels end at `WIDEST` nodes or fewer, of which one cumulative sum
and one binary search find the node, faster than another nine levels would. All rows of a minibatch
descend together, level by level.
"""

import numpy as np

from footlight.types import Array

WIDEST = 512
"""Maximum number of nodes of the last level."""


class SumTree:
    """Priorities of `capacity` rows, 0 until they are set.

    A changed node is computed from its children, never by adding a difference. The sums are
    therefore a function of the priorities alone, however often and in which order these were set.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # Float32 as the updates return them; sums are in float64
        kinds = [np.float32] + [np.float64] * (len(_sizes(capacity)) - 1)
        self._levels: list[Array] = [
            np.zeros(size, kind) for size, kind in zip(_sizes(capacity), kinds, strict=True)
        ]
        # The children of each node side by side
        self._children = [level.reshape(-1, 2) for level in self._levels[:-1]]

    @property
    def priorities(self) -> Array:
        """Priorities [capacity] float32: read them, and write them with `set`."""
        return self._levels[0][: self.capacity]

    def set(self, rows: Array, priorities: Array | float) -> None:
        """Set the priorities of these rows, finite and at least 0.

        Of a row that occurs several times, the last priority counts.
        """
        self._levels[0][rows] = priorities
        for children, level in zip(self._children, self._levels[1:], strict=True):
            rows = rows >> 1
            both = children.take(rows, axis=0)
            level[rows] = np.add(both[:, 0], both[:, 1], dtype=np.float64)

    def fill(self, priorities: Array) -> None:
        """Set the priorities of the first rows, and those of all others to 0."""
        self._levels[0][:] = 0
        self._levels[0][: len(priorities)] = priorities
        for children, level in zip(self._children, self._levels[1:], strict=True):
            np.add(children[:, 0], children[:, 1], dtype=np.float64, out=level)

    def sample(self, stream: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Draw `count` rows with replacement, stratified; return them and their probabilities.

        Number i is drawn from the i-th of `count` equal parts of the total, so that the rows are in
        ascending order. A row of priority 0 is never drawn. Raises `ValueError` if all are 0.
        """
        # The cumulative sums, after a 0
        sums = np.zeros(len(self._levels[-1]) + 1)
        np.cumsum(self._levels[-1], dtype=np.float64, out=sums[1:])
        total = sums[-1]
        if not total > 0:
            raise ValueError(f"the priorities add up to {total}, there is nothing to draw")
        rest = (np.arange(count) + stream.random(count)) * (total / count)
        # Rounding must not lead to the end of the last node, which begins the next one
        np.minimum(rest, np.nextafter(total, 0), out=rest)
        node = sums[1:].searchsorted(rest, side="right")
        rest -= sums[node]
        for children in reversed(self._children):
            both = children.take(node, axis=0)
            left, right = both[:, 0], both[:, 1]
            # A node that is reached has a positive child. `rest` may exceed the left one by
            # rounding alone, where the right one is 0.
            is_right = (rest >= left) & (right > 0)
            np.subtract(rest, left, out=rest, where=is_right)
            node = 2 * node + is_right
        return node, self._levels[0].take(node) / total


def tree_bytes(capacity: int) -> int:
    """Size of a tree in bytes."""
    return sum(8 * size for size in _sizes(capacity)) - 4 * _sizes(capacity)[0]


def _sizes(capacity: int) -> list[int]:
    """The number of nodes of each level, each even but the last."""
    height = 0
    while -(-capacity >> height) > WIDEST:
        height += 1
    widest = -(-capacity // 2**height)
    return [widest * 2**level for level in range(height, -1, -1)]
