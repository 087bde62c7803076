"""Spaces in footlight's own words, and what is said of those that do not fit."""

import json
import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import Space, spaces
from gymnasium.wrappers import FilterObservation

from footlight.algorithms import ALGORITHMS, find
from footlight.environments.spaces import describe, require_actions, text_notices
from footlight.errors import UserError
from footlight.trees import Leaf
from footlight.types import BoxAction, DiscreteAction, Spaces

SEEN = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTED = spaces.Box(-1, 1, (2,), np.float32)


def test_box_and_box() -> None:
    found = describe(
        SEEN, spaces.Box(np.array([-3, 0], np.float32), np.array([10, 0.5], np.float32))
    )
    assert (found.observation_shape, found.observation_dtype) == ((3,), "float32")
    assert isinstance(found.action, BoxAction)
    assert found.action.low.tolist() == [-3, 0]
    assert found.action.high.tolist() == [10, 0.5]
    assert (found.action.shape, found.action.size) == ((2,), 2)


def test_discrete_actions_keep_their_start() -> None:
    assert describe(SEEN, spaces.Discrete(4, start=-1)).action == DiscreteAction(
        sizes=(4,), starts=(-1,)
    )


def test_discrete_differs_from_multidiscrete_of_one() -> None:
    one, several = (
        describe(SEEN, space).action for space in (spaces.Discrete(4), spaces.MultiDiscrete([4]))
    )
    assert (one.shape, several.shape) == ((), (1,))
    assert one.size == several.size == 1


def test_multidiscrete_keeps_starts_and_order() -> None:
    action = describe(
        SEEN,
        spaces.MultiDiscrete(
            np.array([[2, 3, 4], [5, 6, 7]]), start=np.array([[1, 0, -1], [9, 0, 0]])
        ),
    ).action
    assert action == DiscreteAction(
        sizes=(2, 3, 4, 5, 6, 7), starts=(1, 0, -1, 9, 0, 0), shape=(2, 3)
    )
    assert action.size == 6


@pytest.mark.parametrize(
    ("space", "shape"), [(spaces.MultiBinary(3), (3,)), (spaces.MultiBinary([2, 2]), (2, 2))]
)
def test_multibinary_is_choices_of_two(space: spaces.MultiBinary, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    action = describe(SEEN, space).action
    assert action == DiscreteAction(
        sizes=(2,) * size, starts=(0,) * size, shape=shape, dtype="int8"
    )


CHOICES = [
    spaces.Discrete(4),
    spaces.Discrete(3, start=-7),
    spaces.MultiDiscrete([3, 2, 5]),
    spaces.MultiDiscrete([3, 2], start=[10, -1]),
    spaces.MultiDiscrete(np.array([[2, 3, 4], [5, 6, 7]]), start=np.array([[1, 0, -1], [9, 0, 0]])),
    spaces.MultiDiscrete([3, 2], dtype=np.int32),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
]


@pytest.mark.parametrize("space", CHOICES)
def test_every_choice_round_trips_through_the_space(space: Space[Any]) -> None:
    action = describe(SEEN, space).action
    assert isinstance(action, DiscreteAction)
    generator = np.random.default_rng(0)
    choice_EA = np.stack([generator.integers(0, size, 200) for size in action.sizes], 1)
    taken = action.to_environment(choice_EA)
    assert taken.shape == (200, *action.shape)
    assert taken.dtype == space.dtype
    assert all(space.contains(one) for one in taken)
    assert np.array_equal(action.from_environment(taken), choice_EA)
    # and every action that the space itself draws has its choice
    space.seed(0)
    drawn = np.stack([np.asarray(space.sample()) for _ in range(50)])
    assert np.array_equal(action.to_environment(action.from_environment(drawn)), drawn)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("uint8", "uint8"), ("int64", "int64"), ("float32", "float32"), ("float64", "float32")],
)
def test_observations_are_stored_in_their_integers_or_float32(dtype: str, stored: str) -> None:
    assert (
        describe(spaces.Box(0, 100, (4, 2), np.dtype(dtype).type), ACTED).observation_dtype
        == stored
    )


@pytest.mark.parametrize(
    ("space", "shape", "dtype", "choices"),
    [
        (spaces.MultiBinary(2), (2,), "int8", ()),
        (spaces.MultiDiscrete([2, 3], start=[0, 1]), (2,), "int64", (range(2), range(1, 4))),
        (spaces.Discrete(5, start=-1), (), "int64", (range(-1, 4),)),
        (spaces.Box(0, 1, (), np.float64), (), "float32", ()),
    ],
)
def test_a_single_leaf_keeps_its_choices(
    space: Space[Any], shape: tuple[int, ...], dtype: str, choices: tuple[range, ...]
) -> None:
    found = describe(space, ACTED)
    assert found.observation == {"": Leaf(shape=shape, dtype=dtype, choices=choices)}
    assert not found.has_leaves
    again = Spaces.from_json(json.loads(json.dumps(found.to_json())))
    assert again.observation == found.observation


class Mission(Space[str]):
    """A space of a package's own, as MiniGrid has for its texts."""

    def __init__(self) -> None:
        super().__init__(dtype=str)


class Grid(gymnasium.Env[Any, Any]):
    """MiniGrid's observations: a small picture, a direction and a text."""

    action_space = ACTED
    image = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    observation_space = spaces.Dict(
        {"image": image, "direction": spaces.Discrete(4), "mission": Mission()}
    )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        image = np.zeros((7, 7, 3), np.uint8)
        return {"image": image, "direction": np.int64(3), "mission": "go"}, {}


def test_texts_are_left_out_and_said() -> None:
    kept = describe(Grid.observation_space, ACTED).observation
    assert [*kept] == [name for name in Grid.observation_space if name != "mission"]
    (notice,) = text_notices(Grid.observation_space)
    assert notice.startswith("'mission' is text, and left out of the observations; if the task")
    nested = spaces.Tuple([spaces.Dict({"a": spaces.Text(3), "b": ACTED}), Mission()])
    assert [*describe(nested, ACTED).observation] == ["0.b"]
    assert [each.split()[0] for each in text_notices(nested)] == ["'0.a'", "'1'"]
    assert text_notices(ACTED) == text_notices(spaces.Text(3)) == []


def test_suggested_wrapper_for_a_dict_with_a_graph_works() -> None:
    graph = spaces.Graph(ACTED, ACTED)
    space = spaces.Dict({**Grid.observation_space.spaces, "map": graph})
    with pytest.raises(UserError) as refused:
        describe(space, ACTED)
    what, _, remedy = str(refused.value).split(" - ")
    assert what == "the observation space is a Dict whose part 'map' is a Graph"
    kept = [name for name in space if name not in ("map", "mission")]
    assert remedy.endswith(
        f"wrap the environment in gymnasium.wrappers.FilterObservation(env, {kept})"
    )
    env = FilterObservation(Grid(), kept)
    assert [*describe(env.observation_space, ACTED).observation] == kept


@pytest.mark.parametrize(
    "space", [spaces.Sequence(ACTED), Mission(), spaces.Dict({"a": Mission()})]
)
def test_other_observations_are_refused_with_a_remedy(space: Space[Any]) -> None:
    with pytest.raises(UserError, match=r"turn it into one of these with .*TransformObservation"):
        describe(space, ACTED)


@pytest.mark.parametrize(
    "space",
    [spaces.Tuple([ACTED]), spaces.Dict({"a": ACTED}), spaces.Sequence(ACTED), spaces.Text(4)],
)
def test_other_actions_are_refused(space: Space[Any]) -> None:
    with pytest.raises(
        UserError, match=rf"the action space is a {type(space).__name__} - .* Box, Discrete, MultiD"
    ):
        describe(SEEN, space)


def test_non_space_is_refused() -> None:
    nonsense: Any = (3,)
    with pytest.raises(
        UserError, match=r"the observation space is not a Gymnasium space \(\(3,\)\)"
    ):
        describe(nonsense, ACTED)
    with pytest.raises(UserError, match="the action space is not a Gymnasium space"):
        describe(SEEN, nonsense)


def test_infinite_bounds_are_reported_by_dimension() -> None:
    low, high = np.array([-1, -np.inf, -1, -1], np.float32), np.array([1, 1, 1, np.inf], np.float32)
    with pytest.raises(
        UserError, match=r"no finite bounds in dimension \[1\], \[3\] - .*TransformAction"
    ):
        describe(SEEN, spaces.Box(low, high))
    with pytest.raises(UserError, match=r"dimension \[0, 1\] - "):
        describe(
            SEEN, spaces.Box(np.zeros((1, 2), np.float32), np.array([[1, np.inf]], np.float32))
        )


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_integer_box_actions_are_refused(dtype: Any) -> None:
    with pytest.raises(
        UserError,
        match=f"a Box of {np.dtype(dtype).name} - footlight supports Box actions of floating point",
    ):
        describe(SEEN, spaces.Box(0, 5, (2,), dtype))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(
            np.array([-1, 2], np.float32), np.array([1, 2], np.float32)
        ),  # low == high in the second dimension
        spaces.Box(0, 0, (1,), np.float32),
        spaces.Box(-1, 1, (0,), np.float32),  # no dimension at all
    ],
)
def test_empty_or_degenerate_box_is_refused(space: spaces.Box) -> None:
    with pytest.raises(UserError, match="leaves nothing to choose - low must be below high"):
        describe(SEEN, space)


def test_bounds_are_a_copy() -> None:
    space = spaces.Box(-1, 1, (2,), np.float32)
    action = describe(SEEN, space).action
    space.low[:] = -9
    assert isinstance(action, BoxAction)
    assert action.low.tolist() == [-1, -1]


def test_require_actions() -> None:
    continuous, one, several = (
        describe(SEEN, space) for space in (ACTED, spaces.Discrete(4), spaces.MultiDiscrete([2, 3]))
    )
    require_actions(continuous, ("box",), "sac")
    require_actions(one, ("single",), "dqn")
    for fitting in (continuous, one, several):
        require_actions(fitting, ("box", "discrete"), "ppo")
    with pytest.raises(
        UserError,
        match=r"sac needs continuous actions - .* are Discrete\(4\) - use .*, a2c, impala, ppo",
    ):
        require_actions(one, ("box",), "sac")
    with pytest.raises(
        UserError, match=r"sac needs continuous actions - this environment's are 2 discrete choices"
    ):
        require_actions(several, ("box",), "sac")
    for kinds in (("single",), ("discrete",)):
        with pytest.raises(
            UserError,
            match=r"dqn needs one discrete choice a step - .* are continuous \(Box of 2\) - use "
            r"any algorithm but replay",
        ):
            require_actions(continuous, kinds, "dqn")
    with pytest.raises(
        UserError,
        match=r"dqn needs one discrete choice a step - .* are 2 discrete choices - use "
        r"actor-critic",
    ):
        require_actions(several, ("single",), "dqn")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spaces_round_trip_through_json(dtype: Any) -> None:
    box = spaces.Box(np.array([-0.1, -3], dtype), np.array([1 / 3, 10], dtype), dtype=dtype)
    for action_space in (box, *CHOICES):
        found = describe(spaces.Box(0, 255, (4, 4), np.uint8), action_space)
        again = Spaces.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
        assert (again.observation_shape, again.observation_dtype) == ((4, 4), "uint8")
        if isinstance(found.action, BoxAction):
            assert isinstance(again.action, BoxAction)
            for mine, theirs in (
                (again.action.low, found.action.low),
                (again.action.high, found.action.high),
            ):
                assert mine.dtype == theirs.dtype
                assert np.array_equal(mine, theirs)
        else:
            assert again.action == found.action


@pytest.mark.parametrize(
    ("action_space", "refused", "supporting"),
    [
        (ACTED, ("single",), {"box"}),
        (spaces.Discrete(2), ("box",), {"discrete", "single"}),
        (spaces.MultiDiscrete([2, 3]), ("single",), {"discrete"}),
    ],
)
def test_refusal_recommends_the_algorithms_that_support_the_actions(
    action_space: Space[Any], refused: tuple[str, ...], supporting: set[str]
) -> None:
    """A new algorithm has to be added to what is recommended."""
    with pytest.raises(UserError) as caught:
        require_actions(describe(SEEN, action_space), refused, "x")
    advice = str(caught.value).rpartition(" - use ")[2]
    named = set(re.findall(r"[a-z0-9-]+", advice)) & ALGORITHMS.keys()
    if advice.startswith("any algorithm but "):
        named = ALGORITHMS.keys() - named
    assert named == {name for name in ALGORITHMS if supporting & {*find(name).ACTIONS}}
