"""Rows of a run's logs, as a list, or as a data frame where pandas is installed."""

import importlib
from pathlib import Path
from typing import Any

from footlight.errors import UserError
from footlight.runs.read import Log, read_log


class Rows(list[dict[str, Any]]):
    """The rows of a log, one dict each, in the order in which they were written."""

    def frame(self) -> Any:
        """The rows as a `pandas.DataFrame`; what a row does not have is NaN there.

        Raises `UserError` without pandas, which footlight does not install.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise UserError(
                "a data frame needs pandas - it is not installed - `pip install pandas`, or use "
                "the rows as they are: a list of dicts"
            ) from error
        return pandas.DataFrame(list(self))


def rows_of(folder: Path, log: Log) -> Rows:
    """The rows of a log of a run, also while the run is in progress.

    Raises `UserError` if `folder` is not a run folder, or if the log is invalid.
    """
    return Rows(read_log(folder, log))
