"""Which rule holds in which folders."""

from architecture import rules

CODE = ["footlight", "tests", "benchmarks", "docs"]
EVERYWHERE: list[tuple[rules.Rule, list[str]]] = [
    (rules.wrong_arrows, ["footlight"]),
    (rules.long_file, ["footlight", "tests/architecture", "docs"]),
    (rules.long_function, ["footlight", "tests/architecture", "docs"]),
    (rules.wide_signature, ["footlight"]),
    (rules.long_line, CODE),
    (rules.asked_by_name, ["footlight"]),
    (rules.any_in_protocol, ["footlight"]),
    (rules.undocumented_field, ["footlight/algorithms"]),
    (rules.compiler_named, ["footlight"]),
    (rules.named_done, ["footlight"]),
    (rules.unsafe, ["footlight", "benchmarks"]),
    (rules.torch_in_runs, ["footlight"]),
    (rules.missing_from_layout, ["footlight"]),
    (rules.without_test, ["footlight"]),
]
