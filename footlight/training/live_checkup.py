"""The doctor during a training: what is critical is said while it can still be changed."""

from footlight.doctor.checkup import examine
from footlight.errors import quoted
from footlight.training.session import Session

PARTS = 4  # examinations of a run: after each of its quarters


class LiveCheckup:
    """Examines the files of a run in progress a few times, and reports critical findings once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reported: set[str] = set()
        self._previous = session.agent.num_steps

    def __call__(self, step: int) -> None:
        """Examine the run if a quarter of it has passed since the last call."""
        session, part = self._session, max(1, self._session.options.steps // PARTS)
        previous, self._previous = self._previous, step
        if previous // part == step // part:
            return
        try:
            checkup = examine(session.folder.path)
        except Exception:
            return  # such as a file that cannot be read now: it must not end a training
        for found in checkup.findings:
            if found.severity == "critical" and found.check not in self._reported:
                self._reported.add(found.check)
                more = f"footlight doctor {quoted(session.folder.path)}"
                session.display.notify(f"{found.title}: {found.evidence} - {more}")
