"""Groups of runs, and their colors and lines."""

from reported_runs import points, reported

from footlight.reports.charts import COLORED
from footlight.reports.grouping import MAX_SINGLE, column, lines_of, make_groups

RETURNS = column("evaluations", "mean_return")


def test_runs_that_differ_in_their_seed_only_are_one_group() -> None:
    runs = [
        reported(f"{rate}-{seed}", [1.0], seed=seed, config={"learning_rate": rate})
        for rate in (0.1, 0.2)
        for seed in (0, 1)
    ]
    groups = make_groups(runs)
    assert [(each.label, each.color, len(each.runs)) for each in groups] == [
        ("learning_rate 0.1", 0, 2),
        ("learning_rate 0.2", 1, 2),
    ]
    assert [run.color for run in runs] == [0, 0, 1, 1]
    assert [line.label for line in lines_of(groups, RETURNS)] == [
        "learning_rate 0.1, seed 0", "learning_rate 0.1, seed 1",
        "learning_rate 0.2, seed 0", "learning_rate 0.2, seed 1",
    ]  # fmt: skip


def test_the_runs_of_a_single_group_have_colors_of_their_own() -> None:
    runs = [reported(f"seed-{seed}", [1.0], seed=seed) for seed in range(3)]
    (group,) = make_groups(runs)
    assert [run.color for run in runs] == [0, 1, 2]
    assert group.color not in (0, 1, 2)


def test_a_label_has_one_color_in_all_environments() -> None:
    runs = [
        reported(f"{name}-{env}", [1.0], algorithm=name, environment=env)
        for env in ("A", "B")
        for name in ("sac", "td3")
    ]
    groups = make_groups(runs)
    assert {(each.label, each.color) for each in groups} == {("SAC", 0), ("TD3", 1)}
    assert lines_of(groups, RETURNS)[0].label == "SAC, A"


def test_of_many_groups_the_best_ones_have_colors() -> None:
    runs = [
        reported(f"{n}", [float(n)], config={"learning_rate": n / 100}) for n in range(COLORED + 5)
    ]
    groups = make_groups(runs)
    gray = [each.runs[0].name for each in groups if each.color < 0]
    assert gray == ["0", "1", "2", "3", "4"]
    assert [line.color for line in lines_of(groups, RETURNS)[:5]] == [-1] * 5


def test_many_runs_are_drawn_by_their_groups() -> None:
    runs = [reported(f"{seed}", [1.0, seed], seed=seed) for seed in range(MAX_SINGLE + 1)]
    (line,) = lines_of(make_groups(runs), RETURNS)
    assert line.label == f"SAC, mean of {MAX_SINGLE + 1} runs"
    assert line.band is not None
    assert (line.band.low[1], line.band.high[1]) == (0.0, MAX_SINGLE)


def test_values_of_wrong_types_are_no_fault() -> None:
    odd = reported("odd", environment=3, algorithm=None, config=[1], env_kwargs="x", code={"a": 1},
                   seed={"a": [1]}, environment_config=[2], init_from=[1])  # fmt: skip
    odd.curves["evaluations"] = {"mean_return": points([1.0])}
    groups = make_groups([odd, reported("sound", [1.0])])
    assert [each.environment for each in groups] == ["unknown environment", "Pendulum-v1"]
