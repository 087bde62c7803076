"""Values of JSON files of any type, size and depth."""

import json

from footlight.reports.json_values import as_number, mapping, plain, word


def test_values_are_cut_to_what_can_be_shown_and_compared() -> None:
    deep: object = 1
    for _ in range(50):
        deep = [deep]
    given = {"deep": deep, "long": "x" * 10_000, "huge": 10**400, "k" * 1000: 1,
             "list": [0] * 10_000}  # fmt: skip
    text = json.dumps(plain(given))
    assert len(text) < 2_000
    assert plain({"a": [1, 2.5, None, True, "b"]}) == {"a": [1, 2.5, None, True, "b"]}


def test_wrong_types_become_what_is_expected_otherwise() -> None:
    assert [as_number(x) for x in (1, 2.5, True, "3", None, 10**400, float("nan"))] == [
        1.0, 2.5, None, None, None, None, None,
    ]  # fmt: skip
    assert mapping([1]) == {}
    assert mapping({"a": 1}) == {"a": 1}
    assert word(3, "unknown") == word("", "unknown") == "unknown"
    assert word("sac", "unknown") == "sac"
