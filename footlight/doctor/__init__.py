"""Why does a run not learn? Checks of a run folder, and what they find."""

from footlight.doctor.checkup import examine as examine
from footlight.doctor.findings import Checkup as Checkup
from footlight.doctor.findings import Finding as Finding
