"""TensorBoard: the run folder as event files, written from the start each time."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from footlight.runs.trackers.track import Record, histograms, scalars


def open_tracker(folder: Path, config: Record) -> "TensorBoard":
    """A tracker that writes `folder`/tensorboard anew."""
    return TensorBoard(folder / "tensorboard", config)


class TensorBoard:
    """Every number is a point at its environment step, also where several share one. There is no place for films."""

    def __init__(self, home: Path, config: Record) -> None:
        for path in home.glob("events.out.tfevents.*"):  # ours, of an earlier time
            path.unlink()
        self._writer = EventFileWriter(str(home))
        self._add(0, _text("config", config))

    def write(self, log: str, record: Record) -> None:
        """See `footlight.runs.trackers.track.Tracker`."""
        if log == "histograms":
            values = [
                Summary.Value(tag=tag, histo=_histogram(counts, edges))
                for tag, counts, edges in histograms(record)
            ]
            self._add(record["step"], Summary(value=values))
        elif log != "videos":
            numbers = scalars(log, record).items()
            self._add(
                record["step"],
                Summary(value=[Summary.Value(tag=tag, simple_value=x) for tag, x in numbers]),
            )
        if log == "result":
            self._add(record["step"], _text("result", record))

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, step: int, summary: Any) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _text(tag: str, content: Record) -> Any:
    return text_pb(
        tag, "\n".join("    " + line for line in json.dumps(content, indent=2).splitlines())
    )  # indented: Markdown's code


def _histogram(counts: list[int], edges: list[float]) -> Any:
    """TensorBoard's form; its sums, which only its tooltips show, are those of values in the middle of their bins."""
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
