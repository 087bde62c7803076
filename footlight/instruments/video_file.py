"""A recorded video: the path of its file, which shows itself in notebooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footlight.errors import UserError, counted
from footlight.instruments.notebook import video_html
from footlight.instruments.video import require_ffmpeg

if TYPE_CHECKING:
    _PathType = Path
else:  # before Python 3.12, only the classes of a platform can be derived from
    _PathType = type(Path())


class Video(_PathType):
    """The path of a video, with the returns and lengths of the episodes that it shows.

    In a notebook it plays as the value of a cell. Everything that takes a path takes a video:

        video = run.video("pendulum.mp4")
        print(video, video.returns, video.stat().st_size)

    Episodes that were shown in a window have no file: their path is `os.devnull`.
    """

    _returns: Sequence[float] = ()
    _lengths: Sequence[int] = ()

    @classmethod
    def of(cls, path: Path, returns: Sequence[float], lengths: Sequence[int]) -> "Video":
        """The video at `path` of these episodes."""
        video = cls(path)
        video._returns, video._lengths = tuple(returns), tuple(lengths)
        return video

    @property
    def returns(self) -> list[float]:
        """The return of each episode: the sum of its rewards, as far as it is shown."""
        return list(self._returns)

    @property
    def lengths(self) -> list[int]:
        """The number of steps of each episode, as far as it is shown."""
        return list(self._lengths)

    def summary(self) -> str:
        """The returns and lengths of the episodes, as text."""
        shown = ", ".join(f"{total:.1f}" for total in self._returns[:10])
        more = ", ..." if len(self._returns) > 10 else ""
        steps = counted(sum(self._lengths), "step")
        return f"return {shown}{more} in {steps}" if shown else ""

    def with_segments(self, *segments: Any) -> Path:
        """A path derived from this one, such as its parent, is an ordinary path."""
        return Path(*segments)

    def _repr_html_(self) -> str | None:
        return video_html(self, self.summary())


def default_suffix() -> str:
    """The suffix of a video whose file nobody has named: .mp4, or .gif without ffmpeg."""
    try:
        require_ffmpeg()
    except UserError:
        return ".gif"
    return ".mp4"
