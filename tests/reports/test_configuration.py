"""The configuration of runs as a table."""

from reported_runs import HOSTILE, Page, reported

from footlight.reports.configuration import MAX_COLUMNS, configuration
from footlight.reports.grouping import make_groups


def test_the_values_of_a_run() -> None:
    run = reported("run", config={"gamma": 0.99, "hidden_sizes": [64, 64]}, num_envs=8)
    text = Page(configuration(make_groups([run]))).text
    for row in ("gamma 0.99", "hidden_sizes [64, 64]", "num_envs 8", "algorithm sac"):
        assert row in text


def test_what_differs_is_highlighted_and_the_rest_below() -> None:
    runs = [reported(f"{rate}-{seed}", seed=seed, config={"learning_rate": rate, "gamma": 0.9})
            for rate in (0.1, 0.2) for seed in (0, 1)]  # fmt: skip
    runs[3].config["config"]["new_field"] = 5
    page = Page(configuration(make_groups(runs)))
    differing, _, same = page.text.partition("The same in all runs")
    for text in ("learning_rate 0.1 0.2", "seed 0, 1 0, 1", "new_field – –, 5"):
        assert text in differing
    assert "gamma 0.9" in same
    assert ("table", "class", "differs") in page.attributes


def test_values_of_many_groups_are_counted() -> None:
    runs = [reported(f"{n}", config={"learning_rate": n // 2}) for n in range(3 * MAX_COLUMNS)]
    text = Page(configuration(make_groups(runs))).text
    assert "learning_rate 0 (2), 1 (2)" in text


def test_equal_runs_and_no_configuration() -> None:
    runs = [reported("a"), reported("b")]
    assert "Nothing." in configuration(make_groups(runs))
    runs[0].config = {}
    assert "No configuration is known" in configuration(make_groups(runs[:1]))


def test_hostile_values_stay_text() -> None:
    runs = [reported(f"{n}", config={HOSTILE: n, "x": HOSTILE}, env_kwargs=[HOSTILE, n])
            for n in range(2)]  # fmt: skip
    assert not {"script", "img"} & {*Page(configuration(make_groups(runs))).tags}
