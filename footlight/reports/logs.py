"""The numbers in a run's logs, as columns: read row by row, and only what has been added since.

A log may have gigabytes, invalid rows or one endless line: memory stays bounded, and `notes` says
what was left out.
"""

import contextlib
import json
import math
import os
from array import array
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footlight.errors import UserError, counted
from footlight.storage.files import opened

Floats = npt.NDArray[np.float64]

MAX_LINE = 1 << 20
MAX_BYTES = 128 << 20  # of a log that are read; of a larger one, parts of it from end to end
PARTS = 128
MAX_COLUMNS, MAX_NAME, MANY_NAMES = 400, 100, 60
MAX_NUMBERS = 12_000_000  # of a log in memory, each with its step
_CHUNK = 1 << 20
_NUMBERS = {int, float, bool}
_END = 64  # bytes before the place reached, by which a rewritten file is noticed


class Column:
    """The numbers of one name, with the step of each; NaN where one was not finite."""

    __slots__ = ("steps", "values")

    def __init__(self) -> None:
        self.steps, self.values = array("d"), array("d")

    def points(self) -> tuple[Floats, Floats]:
        """Steps and values, in the order of the log."""
        return np.array(self.steps, np.float64), np.array(self.values, np.float64)

    def add(self, rows: list[dict[str, Any]], name: str) -> int:
        """Add what these rows have under a name, if it is a number; return how many there were."""
        before, values = len(self.values), [row[name] for row in rows]
        if {*map(type, values)} <= _NUMBERS:
            with contextlib.suppress(OverflowError):
                self.values.extend(values)
                self.steps.extend(row["step"] for row in rows)
                return len(values)
            del self.values[before:]
        for row, value in zip(rows, values, strict=True):
            if type(value) in _NUMBERS or value is None:
                self.values.append(_as_float(value))
                self.steps.append(row["step"])
        return len(self.values) - before

    def thin(self) -> None:
        """Keep the lowest and the highest of every eight numbers."""
        x, y = self.points()
        whole = len(y) // 8 * 8
        blocks = np.nan_to_num(y[:whole].reshape(-1, 8))
        picks = np.stack([blocks.argmin(axis=1), blocks.argmax(axis=1)], axis=1)
        index = (np.sort(picks, axis=1) + np.arange(0, whole, 8)[:, None]).ravel()
        index = np.concatenate([index, np.arange(whole, len(y))])
        self.steps, self.values = array("d", x[index].tobytes()), array("d", y[index].tobytes())


class Log:
    """A log as far as it has been read; `update` reads on."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.rows = 0
        self._clear()

    def _clear(self) -> None:
        self.columns.clear()
        self.rows = self._offset = self._invalid = self._long = self._numbers = self._left_out = 0
        self._is_thinned, self._end, self._fault = False, b"", ""

    def update(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Read what has been added to the file, or all of it if it was rewritten."""
        if not path.exists() and not path.is_symlink():
            self._clear()
            return
        try:
            with opened(path) as file:
                self._fault = ""
                size = os.fstat(file.fileno()).st_size
                if not self._is_continued(file, size):
                    self._clear()
                for lines in self._batches(file, size, max_bytes):
                    self._add(lines)
                file.seek(max(0, self._offset - _END))
                self._end = file.read(min(_END, self._offset))
        except (UserError, OSError) as error:
            self._clear()
            self._fault = str(error).partition(" - ")[2].partition(" - ")[0] or "it cannot be read"

    def column(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of a column; empty if the log does not have it."""
        return self.columns.get(name, Column()).points()

    @property
    def is_partial(self) -> bool:
        """Whether a part of the numbers was left out."""
        return bool(self._left_out or self._is_thinned)

    @property
    def size(self) -> int:
        """How many numbers are in memory."""
        return self._numbers

    @property
    def last_step(self) -> int:
        """The largest step of the newest numbers; 0 if there are none."""
        ends = [column.steps[-1] for column in self.columns.values() if column.steps]
        return int(max(ends, default=0))

    def notes(self, name: str) -> list[str]:
        """What was left out, as sentences."""
        found = [f"{name} was skipped: {self._fault}."] if self._fault else []
        if self._invalid:
            found.append(f"{name}: {counted(self._invalid, 'invalid row')} skipped.")
        for name_, column in sorted(self.columns.items()):
            if count := int((~np.isfinite(column.points()[1])).sum()):
                found.append(f"{name}: {counted(count, 'value')} of {name_} not finite.")
        if self._long:
            found.append(f"{name}: {counted(self._long, 'line')} of more than 1 MiB skipped.")
        if self._left_out:
            text = f"{self._left_out:,} bytes between evenly spaced parts were not read"
            found.append(f"{name}: {text}, as the file is too large.")
        if self._is_thinned:
            found.append(f"{name}: of its many numbers, the lowest and highest of each eight "
                         "neighbors were kept.")  # fmt: skip
        return found

    def _is_continued(self, file: BufferedReader, size: int) -> bool:
        """Whether what has been read of the file is still its beginning."""
        if size < self._offset:
            return False
        file.seek(max(0, self._offset - _END))
        return file.read(min(_END, self._offset)) == self._end

    def _batches(
        self, file: BufferedReader, size: int, max_bytes: int
    ) -> Iterator[list[bytes]]:  # fmt: skip
        start = self._offset
        if size - start <= max_bytes:
            yield from self._part(file, start, size)
            return
        part = max(max_bytes // PARTS, MAX_LINE // 16)
        count = max(max_bytes // part, 2)
        for index in range(count):
            at = start + (size - start - part) * index // (count - 1)
            yield from self._part(file, at, at + part, is_inside=index > 0)
        self._left_out += size - start - count * part

    def _part(
        self, file: BufferedReader, start: int, stop: int, is_inside: bool = False
    ) -> Iterator[list[bytes]]:
        """The complete lines between two places; the first one is not, inside of a file."""
        file.seek(start)
        rest, is_skipping, self._offset = b"", is_inside, start
        while start < stop and (chunk := file.read(min(_CHUNK, stop - start))):
            start += len(chunk)
            *lines, tail = chunk.split(b"\n")
            if lines:
                lines[0] = rest + lines[0]
                self._offset = start - len(tail)
                yield lines[1:] if is_skipping else lines
                rest, is_skipping = tail, False
            elif not is_skipping:
                rest += tail
            if len(rest) > MAX_LINE:
                self._long += 1
                rest, is_skipping = b"", True

    def _add(self, lines: list[bytes]) -> None:
        """Add the rows in some lines, which are parsed all at once as long as they are valid."""
        lines = [line for line in lines if line and not line.isspace()]
        rows = _parse(b"[" + b",".join(lines) + b"]")
        if rows is None or len(rows) != len(lines) or not all(map(_is_row, rows)):
            rows = [row for row in map(_parse, lines) if _is_row(row)]
            self._invalid += len(lines) - len(rows)
        self.rows += len(rows)
        for name, having in _by_name(rows):
            column = self.columns.get(name)
            if column is None:
                if len(self.columns) == MAX_COLUMNS or len(name) > MAX_NAME or name == "step":
                    continue
                column = Column()
            if added := column.add(having, name):
                self.columns[name] = column
                self._numbers += added
        if self._numbers > MAX_NUMBERS:
            for each in self.columns.values():
                each.thin()
            self._numbers = sum(len(each.steps) for each in self.columns.values())
            self._is_thinned = True


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_row(row: Any) -> bool:
    step = row.get("step") if type(row) is dict else None
    return isinstance(step, int | float) and type(step) is not bool and 0 <= step < 1e18


def _by_name(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each name with the rows that have it, in order."""
    names = set[str]().union(*rows)
    if len(names) <= MANY_NAMES:
        for name in sorted(names):
            yield name, [row for row in rows if name in row]
        return
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:  # a hostile log has a name of its own in each row
        for name in row:
            found.setdefault(name, []).append(row)
    yield from found.items()


def _as_float(value: Any) -> float:
    """A number as a float; NaN for None, which is what was not finite, and for huge integers."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.nan
