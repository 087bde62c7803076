"""Options of a remedy: those that fit the config of a run are shown."""

from footlight.doctor.remedies import describe_options, fits, shown


def test_an_option_fits_where_all_its_fields_exist() -> None:
    assert fits("train for longer", {})
    assert fits("lower {tau}", {"tau": None})
    assert not fits("lower {tau}", {"gamma": 0.99})
    assert not fits("lower {tau} and {gamma}", {"gamma": 0.99})


def test_a_change_fits_where_the_field_has_the_old_value() -> None:
    assert fits("set {layer_norm false>true}", {"layer_norm": False})
    assert fits("set {max_grad_norm none>0.5}", {"max_grad_norm": None})
    assert not fits("set {norm none>layer}", {"norm": "batch-renorm"})
    assert not fits("set {norm none>layer}", {})
    assert fits("set {tau 1.0>0.005}", {"tau": 1.0})


def test_an_option_can_be_for_some_values_of_a_field() -> None:
    option, other = "{critic=quantile}lower {tau}", "{critic!=quantile}lower {tau}"
    critics: list[dict[str, str]] = [{"critic": "quantile"}, {"critic": "scalar"}, {}]
    for critic, expected in zip(critics, (True, False, False), strict=True):
        assert fits(option, {"tau": 0.1, **critic}) == expected
        assert fits(other, {"tau": 0.1, **critic}) != expected
    assert shown(option) == shown(other) == "lower tau"


def test_an_option_is_shown_without_braces() -> None:
    assert shown("lower {tau}") == "lower tau"
    assert shown("set {norm none>layer} or {tau}", "`") == "set `norm` to layer or `tau`"


def test_at_most_three_options_are_named() -> None:
    options = "lower {tau}", "one", "lower {gamma}", "two", "three"
    assert describe_options(options, {"gamma": 0.99}) == "one; lower gamma; two"
    assert describe_options(options[:1], {}) == ""
