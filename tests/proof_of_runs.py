"""What a finished run consists of, for comparisons bit by bit."""

from pathlib import Path

from safetensors.numpy import load_file

from footlight.storage import checkpoint


def arrays_of(folder: Path) -> dict[str, bytes]:
    """All arrays of a run's newest checkpoint but those of its logs, as bytes."""
    newest = checkpoint.find(folder)
    return {
        f"{file.name}/{name}": array.tobytes()
        for file in sorted(newest.glob("*.safetensors"))
        for name, array in load_file(file).items()
    }
