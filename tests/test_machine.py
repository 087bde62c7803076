"""The description of the machine, and what of it can change numbers."""

from footlight.machine import cores, describe_machine, device_fault, differences


def test_differences_name_what_changed_missing_and_new() -> None:
    before = {"cpu": "a", "threads": 1, "versions": {"torch": "2", "old": "1"}}
    after = {"cpu": "b", "threads": 1, "versions": {"torch": "2", "new": "3"}}
    assert differences(before, after) == [
        "processor b instead of a",
        "old missing instead of 1",
        "new 3 instead of none",
    ]
    assert differences(after, after) == []


def test_description_has_versions_and_threads() -> None:
    machine = describe_machine()
    assert {"footlight", "python", "torch", "numpy", "gymnasium"} <= machine["versions"].keys()
    assert machine["threads"] >= 1
    assert cores() >= 1


def test_only_memory_and_device_errors_are_device_faults() -> None:
    assert "out of memory" in (device_fault(MemoryError("8 GiB")) or "")
    assert device_fault(ValueError("no")) is None
