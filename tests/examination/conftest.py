"""Short random play: the faults of small environments show at once."""

import pytest

from footlight.examination import episode_ends, examine, random_play


@pytest.fixture(autouse=True)
def short_play(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (random_play, episode_ends, examine):
        monkeypatch.setattr(module, "STEPS", 500)
    monkeypatch.setattr(random_play, "SECONDS", 600.0)  # no verdict depends on the clock
