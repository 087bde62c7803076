"""The top of a page, and the findings."""

from reported_runs import HOSTILE, Page, checkup, finding, reported

from footlight.reports.header import MAX_EVIDENCE, MAX_MARKED, findings, header, marks_of, title


def test_a_run_is_named_with_its_verdict() -> None:
    run = reported("run", [3.25], seed=7, steps=1000)
    run.state, run.step = "stopped", 600
    run.result = {"status": "stopped", "stop_reason": "max_time"}
    run.checkup = checkup(finding())
    page = Page(header([run], title([run])))
    for text in ("sac on Pendulum-v1", "critical: The critic is wrong", "7", "600 of 1,000",
                 "stopped : max_time", "3.25"):  # fmt: skip
        assert text in page.text
    assert ("p", "class", "verdict critical") in page.attributes


def test_several_runs_are_a_table() -> None:
    runs = [reported("a", [1.0]), reported("b", environment="CartPole-v1", algorithm="ppo")]
    runs[0].checkup, runs[1].checkup = checkup(finding()), checkup()
    assert title(runs) == "sac, ppo on 2 environments, 2 runs"
    page = Page(header(runs, title(runs)))
    assert "1 of 2 examined runs with findings" in page.text
    assert "healthy: 7 checks, no findings" in page.text
    assert page.tags.count("tr") == 3


def test_findings_are_complete_and_in_the_order_of_the_doctor() -> None:
    run = reported("run")
    run.checkup = checkup(finding("b", None, title="First"), finding("a", 500, title="Second"))
    text = Page(findings([run])).text
    assert text.index("First") < text.index("Second")
    for part in ("0.9, level 0.5", "since step 500", "It misleads the policy.", "set tau = 0.005",
                 "Source: a paper", "1 group of checks not judged", "is one critic"):  # fmt: skip
        assert part in text


def test_findings_of_several_runs_are_joined_by_check() -> None:
    runs = [reported(name) for name in "abc"]
    runs[0].checkup = checkup(finding("rare", severity="warning", title="Rare"))
    runs[1].checkup = checkup(finding("often", 100, title="Often"))
    runs[2].checkup = checkup(finding("often", 900, title="Often"))
    page = Page(findings(runs))
    assert page.text.index("Often") < page.text.index("Rare")
    assert page.text.count("Often") == 1
    assert "In 2 of 3 runs" in page.text
    assert "since step 100 to 900" in page.text


def test_all_numbers_of_a_check_that_has_several_findings_in_a_run_are_shown() -> None:
    run = reported("run")
    run.checkup = checkup(finding(evidence="actor 0.9"), finding(step=700, evidence="critic 0.8"))
    text = Page(findings([run])).text
    assert text.count("The critic is wrong") == 1
    assert "actor 0.9 (since step 500)" in text
    assert "critic 0.8 (since step 700)" in text
    run.checkup = checkup(*(finding(evidence=f"no. {n}") for n in range(MAX_EVIDENCE + 2)))
    text = Page(findings([run])).text
    assert text.count("no. ") == MAX_EVIDENCE
    assert "and 2 more" in text


def test_runs_are_counted_and_not_findings() -> None:
    runs = [reported("a"), reported("b"), reported("c")]
    runs[0].checkup = checkup(finding(step=900, evidence="2nd"), finding(evidence="3rd"))
    assert "In 1 of 3 runs: a" in Page(findings(runs)).text
    runs[1].checkup = runs[0].checkup
    text = Page(findings(runs)).text
    assert "In 2 of 3 runs, since step 500 to 900: a b" in text
    assert text.count("a: 2nd (since step 900)") == text.count("a: 3rd (since step 500)") == 1
    assert "b: 2nd" not in text


def test_a_run_with_two_findings_does_not_stand_for_two() -> None:
    runs = [reported("a"), reported("b")]
    runs[0].checkup = checkup(finding(evidence="actor"), finding(evidence="critic"))
    runs[1].checkup = checkup()
    ((_, mark),) = marks_of(runs)
    assert mark.text == "a: The critic is wrong"


def test_without_a_checkup_nothing_is_called_healthy() -> None:
    run = reported("run")
    assert "Not examined: see the end" in Page(findings([run])).text
    assert "healthy" not in header([run], "title")


def test_findings_of_few_runs_are_marked_in_charts() -> None:
    runs = [reported(f"{n}") for n in range(MAX_MARKED)]
    for run in runs:
        run.checkup = checkup(finding(), finding("whole-run", None))
    ((shown, mark),) = marks_of(runs)
    assert (shown, mark.step, mark.text) == ("critic_bias", 500, "The critic is wrong")
    runs[0].checkup = checkup(finding(step=100))
    assert [each.text for _, each in marks_of(runs)] == [
        "0: The critic is wrong", "1, 2: The critic is wrong",
    ]  # fmt: skip
    assert marks_of([*runs, reported("more")]) == []


def test_hostile_values_stay_text() -> None:
    run = reported(HOSTILE, environment=HOSTILE, algorithm=HOSTILE, seed=HOSTILE, steps=10**400)
    run.state, run.result = HOSTILE, {"status": HOSTILE, "stop_reason": HOSTILE}
    run.checkup = checkup(finding(HOSTILE, title=HOSTILE, evidence=HOSTILE, remedy=HOSTILE))
    for shown in (header([run], title([run])), header([run, run], HOSTILE), findings([run])):
        assert not {"script", "img"} & {*Page(shown).tags}
