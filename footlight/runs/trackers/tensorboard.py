"""TensorBoard: the run folder as event files, written from scratch each time."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from footlight.runs.trackers.track import Row, histograms, scalars


def open_tracker(folder: Path, config: Row) -> "TensorBoard":
    """Return a tracker that writes `folder`/tensorboard from scratch."""
    return TensorBoard(folder / "tensorboard", config)


class TensorBoard:
    """Writes every number as a point at its environment step. Videos are not written."""

    def __init__(self, home: Path, config: Row) -> None:
        for path in home.glob("events.out.tfevents.*"):  # from an earlier session
            path.unlink()
        self._writer = EventFileWriter(str(home))
        self._add(0, _text("config", config))

    def write(self, log: str, row: Row) -> None:
        """See `footlight.runs.trackers.track.Tracker`."""
        if log == "histograms":
            values = [
                Summary.Value(tag=tag, histo=_histogram(counts, edges))
                for tag, counts, edges in histograms(row)
            ]
            self._add(row["step"], Summary(value=values))
        elif log != "videos":
            numbers = scalars(log, row).items()
            self._add(
                row["step"],
                Summary(value=[Summary.Value(tag=tag, simple_value=x) for tag, x in numbers]),
            )
        if log == "result":
            self._add(row["step"], _text("result", row))

    def flush(self) -> None:
        """Write all events to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, step: int, summary: Any) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _text(tag: str, content: Row) -> Any:
    lines = json.dumps(content, indent=2).splitlines()
    return text_pb(tag, "\n".join("    " + line for line in lines))  # indented: code in Markdown


def _histogram(counts: list[int], edges: list[float]) -> Any:
    """Convert to TensorBoard's format; the sums assume all values at the center of their bin."""
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    total = sum(count * x for count, x in zip(counts, middles, strict=True))
    squares = sum(count * x * x for count, x in zip(counts, middles, strict=True))
    return HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=sum(counts),
        sum=total,
        sum_squares=squares,
        bucket_limit=edges[1:],
        bucket=counts,
    )
