"""Video files from frames: .mp4 (H.264, plays in a browser) with ffmpeg, .gif with Pillow."""

import importlib
import itertools
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from footlight.errors import StorageFault, UserError
from footlight.storage.system import own_process_group

Frame = npt.NDArray[np.uint8]

# Browsers slow a GIF down to 10 frames per second if a frame lasts less than 0.02 seconds.
GIF_MAX_FPS = 50


def write_video(frames: Iterable[Frame], path: Path, fps: float) -> Path:
    """Write `frames` to `path` (.mp4 or .gif) at `fps` frames per second, and return `path`.

    frames: uint8 arrays of shape (height, width, 3), all of one size.
    An .mp4 is written frame by frame, so its length costs no memory; odd heights and widths are
    padded, as H.264 requires. A .gif of more than 50 frames per second skips frames to keep its
    speed. `path` appears only when the video is complete.
    Raises `UserError` (suffix, folder, fps, frames, missing ffmpeg), and `StorageFault` if the
    file cannot be written.
    """
    write = _writer(path)
    if not (math.isfinite(fps) and fps > 0):
        raise UserError(
            f"fps is {fps} - a video needs a positive number of frames per second - use 30, for "
            "example"
        )
    checked = _checked(frames)
    first = next(checked, None)
    if first is None:
        raise UserError(
            f"{path} was not written - there was no frame to show - record at least one step"
        )
    # Absolute, as ffmpeg takes a name such as "a:b.mp4" for a protocol; hidden until complete.
    partial = path.absolute().with_name(f".{path.stem}.{os.getpid()}{path.suffix.lower()}")
    try:
        write(itertools.chain([first], checked), partial, first.shape, float(fps))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


_Writer = Callable[[Iterator[Frame], Path, tuple[int, ...], float], None]


def _writer(path: Path) -> _Writer:
    """Return the writer for this suffix. Raises `UserError` for a wrong path or without ffmpeg."""
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".gif"):
        raise UserError(
            f"{path} is not a video file - its suffix is {suffix or 'missing'} - use .mp4 or .gif"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"{path} cannot be written - the folder {path.parent} does not exist - create it first"
        )
    if suffix == ".gif":
        return _write_gif
    program = require_ffmpeg()
    return lambda frames, partial, shape, fps: _write_mp4(program, frames, partial, shape, fps)


def require_ffmpeg() -> str:
    """Return the path of ffmpeg. Raises `UserError` if it is missing."""
    try:
        program: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise UserError(
            'an .mp4 needs ffmpeg - it is not installed - pip install "footlight[video]", '
            "or use .gif"
        ) from None
    if shutil.which(program) is None:  # the variable IMAGEIO_FFMPEG_EXE is not checked
        raise UserError(
            f"an .mp4 needs ffmpeg - {program} is not a program - fix or unset IMAGEIO_FFMPEG_EXE, "
            "or use .gif"
        )
    return program


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        is_array = isinstance(frame, np.ndarray)
        if not is_array or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            got = f"{frame.dtype} {frame.shape}" if is_array else type(frame).__name__
            raise UserError(
                f"frame {number} is {got} - a frame is uint8 (height, width, 3) - create the "
                'environment with render_mode="rgb_array"'
            )
        shape = shape or frame.shape
        if frame.shape != shape or 0 in shape:
            raise UserError(
                f"frame {number} is {frame.shape} - all frames of a video have one size, here "
                f"{shape} - resize them"
            )
        yield frame


def _write_mp4(
    program: str, frames: Iterator[Frame], path: Path, shape: tuple[int, ...], fps: float
) -> None:
    """Pipe the frames to ffmpeg.

    Not `imageio_ffmpeg.write_frames`, which ignores ffmpeg's exit code and its messages: a full
    disk would leave half a video.
    """
    odd_rows, odd_columns = shape[0] % 2, shape[1] % 2
    size = f"{shape[1] + odd_columns}x{shape[0] + odd_rows}"
    rate = str(Fraction(fps).limit_denominator(100_000))
    source = f"-f rawvideo -pix_fmt rgb24 -s {size} -r {rate} -i -".split()
    target = ["-c:v", "libx264", "-crf", "15", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    command = [program, "-y", "-loglevel", "error", "-xerror", *source, *target, str(path)]
    try:
        # In a process group of its own: this process handles Ctrl-C, and then ends the video.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            process_group=0 if os.name == "posix" else None, creationflags=own_process_group(),
        )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"an .mp4 needs ffmpeg - {program} cannot be run: {error.strerror} - fix that, "
            "or use .gif"
        ) from None
    assert process.stdin is not None
    try:
        for frame in frames:
            padded = np.pad(frame, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
            try:
                process.stdin.write(np.ascontiguousarray(padded).data)
            except BrokenPipeError:  # ffmpeg has exited; its message is read below
                break
    except BaseException:
        process.kill()
        raise
    finally:
        _, message = process.communicate()
    if process.returncode != 0:
        lines = [line for line in message.decode(errors="replace").splitlines() if line.strip()]
        reason = lines[0].split("] ", 1)[-1] if lines else "it gave no reason"
        raise StorageFault(
            f"cannot write the video into {path.parent} - ffmpeg stopped: {reason} - "
            "is the disk full?"
        )


def _write_gif(frames: Iterator[Frame], path: Path, shape: tuple[int, ...], fps: float) -> None:
    stride = math.ceil(fps / GIF_MAX_FPS)
    images = _gif_images(itertools.islice(frames, 0, None, stride), fps / stride)
    try:
        next(images).save(path, format="GIF", save_all=True, append_images=images, loop=0)
    except OSError as error:
        raise StorageFault(
            f"cannot write the video into {path.parent} - {error.strerror or error} - "
            "free some space"
        ) from None


def _gif_images(frames: Iterator[Frame], fps: float) -> Iterator[Image.Image]:
    """Yield the frames with durations in hundredths of a second, the unit of a GIF.

    Rounding end times instead of durations keeps the total length right.
    """
    for number, frame in enumerate(frames):
        image = Image.fromarray(frame)
        image.info["duration"] = 10 * (round(100 * (number + 1) / fps) - round(100 * number / fps))
        yield image
