"""Random streams: seeds that never change between versions, and independent streams."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest

from footlight.streams import (
    MAX_SEED,
    STREAMS,
    Streams,
    derived_seed,
    stream_words,
    take_words,
)


def test_derived_seeds_are_pinned() -> None:
    # Written down once: a version that gives others cannot repeat the runs of this one
    assert derived_seed(0, "episode", 0, 0) == 1062253807
    assert derived_seed(7, "networks") == 1864972786


def test_derived_seeds_differ_in_everything() -> None:
    keys = list(product(range(5), ["episode", "evaluation", "networks"], range(10), range(10)))
    seeds = {derived_seed(seed, name, *indices) for seed, name, *indices in keys}
    assert len(seeds) == len(keys)  # 1500 among 2e9: two alike would be a chance of 1 in 2000
    assert all(0 <= seed < 2**31 for seed in seeds)  # a C int
    assert (
        derived_seed(1, "episode", 2)
        != derived_seed(1, "episode", 2, 0)
        != derived_seed(1, "episode", 0, 2)
    )


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**53 + 1, MAX_SEED])
def test_every_seed_of_the_range_works(seed: int) -> None:
    assert derived_seed(seed, "episode", 0) == derived_seed(seed, "episode", 0)
    assert derived_seed(seed, "episode", 0) != derived_seed(seed - 1 if seed else 1, "episode", 0)
    assert Streams(seed).update.random() == Streams(seed).update.random()


def test_streams_are_independent() -> None:
    draws = [getattr(Streams(3), name).random(1000) for name in STREAMS]
    assert (
        np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.13
    )  # four standard deviations of 1 / sqrt(1000)
    untouched, busy = Streams(3), Streams(3)
    busy.exploration.random(100)
    busy.update.standard_normal(7)
    assert (
        busy.minibatch.integers(0, 10**9, 5).tolist()
        == untouched.minibatch.integers(0, 10**9, 5).tolist()
    )


def test_streams_go_on_where_they_stood() -> None:
    streams, resumed = Streams(3), Streams(99)
    for name in STREAMS:
        getattr(streams, name).standard_normal(11, dtype=np.float32)
    streams.minibatch.integers(0, 5, 3, dtype=np.int32)  # leaves half of a 64-bit draw behind
    resumed.restore(json.loads(json.dumps(streams.positions(), allow_nan=False)))
    for name in STREAMS:
        mine, theirs = getattr(resumed, name), getattr(streams, name)
        assert (
            mine.integers(0, 5, 5, dtype=np.int32).tolist()
            == theirs.integers(0, 5, 5, dtype=np.int32).tolist()
        )
        assert mine.standard_normal(20).tolist() == theirs.standard_normal(20).tolist()


def test_position_is_a_copy() -> None:
    streams = Streams(3)
    position = streams.positions()
    first = streams.update.random()
    streams.restore(position)
    assert streams.update.random() == first


def test_a_generator_continues_from_words() -> None:
    stream, other = np.random.default_rng(1), np.random.default_rng(2)
    stream.integers(10, dtype=np.uint32)  # which leaves half of a draw behind
    take_words(other, stream_words(stream))
    assert other.bit_generator.state == stream.bit_generator.state
    assert other.random() == stream.random()


@pytest.mark.parametrize("words", [np.zeros(6, np.uint64), np.ones(5, np.uint64), np.ones(6)])
def test_other_words_are_refused(words: Any) -> None:
    with pytest.raises(ValueError, match="not the state of a PCG64"):
        take_words(np.random.default_rng(0), words)
