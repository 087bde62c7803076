"""Build the wheel and the source distribution, and try each in an empty environment.

    make dist                            # into dist/; minutes, and 2 GB in a temporary folder
    python .ci/dist.py --only wheel      # or sdist
    python .ci/dist.py --torch torch     # another torch than that of requirements.lock

Each is installed with only what pip resolves, and then trains, is killed, resumes, evaluates and
plots. Where pip finds a CUDA build of torch, set PIP_INDEX_URL to PyTorch's CPU index first.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HELP_SECONDS = 0.5
STEPS = 2_000
TRAIN = f"train sac Pendulum-v1 --steps {STEPS} --checkpoint-every 500 --threads 1 --run-dir run"
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")
}


class Failure(Exception):
    """What is wrong with a distribution."""


def require(condition: object, text: str) -> None:
    """Raise `Failure` unless the condition holds."""
    if not condition:
        raise Failure(text)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=ENVIRONMENT, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    require(done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}")
    return done.stdout


def program(environment: Path, name: str) -> Path:
    """The path of a program in a virtual environment."""
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    return folder / (f"{name}.exe" if os.name == "nt" else name)


def make_environment(place: Path, *packages: str | Path) -> Path:
    """A new virtual environment with these packages, installed one after the other."""
    run(sys.executable, "-m", "venv", place)
    for package in packages:
        run(program(place, "python"), "-m", "pip", "install", "-q", package)
    return place


def build(scratch: Path) -> tuple[Path, Path]:
    """Build from a clean copy of the tracked files; return wheel and source distribution."""
    tools = program(make_environment(scratch / "tools", "build", "twine"), "python")
    source, dist = scratch / "source", ROOT / "dist"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    shutil.rmtree(dist, ignore_errors=True)
    run(tools, "-m", "build", "--outdir", dist, source)
    run(tools, "-m", "twine", "check", "--strict", *dist.iterdir())
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return wheel, sdist


def tracked() -> list[str]:
    """The files of the repository that exist."""
    names = run("git", "ls-files", "-z").split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def check_wheel(wheel: Path) -> None:
    """It has the package, its data and the license, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in names if ".dist-info/" not in name}
    wanted = {name for name in tracked() if name.startswith("footlight/")}
    require(package == wanted, f"the wheel differs from footlight/: {sorted(package ^ wanted)}")
    require("footlight/py.typed" in names, "the wheel has no py.typed")
    require(any(name.endswith("/licenses/LICENSE") for name in names), "the wheel has no license")
    presets = [name for name in names if name.startswith("footlight/config/presets/")]
    require(sum(name.endswith(".toml") for name in presets) > 1, "the wheel has no presets")


def check_sdist(sdist: Path, scratch: Path) -> None:
    """It has every tracked file, and its tests run: all are collected, some are run."""
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    (source,) = (scratch / "unpacked").iterdir()
    lacks = [name for name in tracked() if not (source / name).exists()]
    lacks = [name for name in lacks if not name.startswith(".git")]
    require(not lacks, f"the source distribution lacks {lacks} - see MANIFEST.in")
    pytest = (program(ROOT / ".venv", "python"), "-m", "pytest", "-q", "-n", "0")
    run(*pytest, "--collect-only", cwd=source)
    run(*pytest, "tests/test_streams.py", "tests/test_errors.py", "tests/equations", cwd=source)


def smoke_test(python: Path, footlight: Path, folder: Path) -> None:
    """What a newcomer does, and what a crash does, in an empty folder."""
    folder.mkdir()

    def step(*words: str, module: bool = False) -> str:
        start = time.perf_counter()
        command = [python, "-m", "footlight"] if module else [footlight]
        out = run(*command, *words, cwd=folder)
        print(f"  {time.perf_counter() - start:6.1f} s  footlight {' '.join(words)}", flush=True)
        return out

    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    require(version, "pyproject.toml has no version")
    require(step("--version").split() == ["footlight", str(version and version[1])], "--version")
    require("sac/Pendulum-v1" in step("list"), "list shows no presets")
    require(step("--version", module=True).startswith("footlight "), "python -m footlight")
    require("_footlight" in step("completion", "bash"), "completion")
    require("sac" in step("completion", "words", "train", "s").split(), "completion")
    start_and_kill(footlight, folder)
    step("resume", "run")
    result = json.loads((folder / "run/result.json").read_text("utf-8"))
    require((result["status"], result["steps"]) == ("finished", STEPS), f"resumed: {result}")
    step("verify", "run")
    evaluation = json.loads(step("evaluate", "run", "--episodes", "2", "--json").splitlines()[-1])
    require(len(evaluation["returns"]) == 2, "evaluate")
    step("plot", "run")
    require((folder / "run/curve.png").stat().st_size > 1000, "plot")
    step("watch", "run", "--video", "run.gif")
    require((folder / "run.gif").stat().st_size > 1000, "watch")


def start_and_kill(footlight: Path, folder: Path) -> None:
    """Train until the first checkpoint after the start, then end the process without warning."""
    training = subprocess.Popen(
        [str(footlight), *TRAIN.split()], cwd=folder, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    start = time.perf_counter()
    while not (folder / "run/checkpoints/step-000000500/manifest.json").exists():
        require(training.poll() is None, f"footlight {TRAIN}: exit code {training.returncode}")
        time.sleep(0.05)
    training.kill()
    training.wait()
    if os.name == "posix":
        require(training.returncode == -signal.SIGKILL, "the training ended before it was killed")
    require(not (folder / "run/result.json").exists(), "the training ended before it was killed")
    print(f"  {time.perf_counter() - start:6.1f} s  footlight {TRAIN}, killed", flush=True)


def time_help(footlight: Path) -> None:
    """Processor time, which other programs on the cores do not add to; the best of five."""
    seconds = []
    for _ in range(5):
        before = os.times()
        run(footlight, "--help")
        after = os.times()
        spent = after.children_user + after.children_system
        seconds.append(spent - before.children_user - before.children_system)
    print(f"  {min(seconds):6.2f} s  footlight --help, processor time, best of five", flush=True)
    require(min(seconds) < HELP_SECONDS, f"--help takes {min(seconds):.2f} s of processor time")


def main() -> int:
    """Build, check and try both; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    pinned = re.search(r"^torch==\S+", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
    parser.add_argument("--torch", default=pinned[0] if pinned else "torch", help="for pip")
    parser.add_argument("--only", choices=("wheel", "sdist"), help="install only this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footlight-dist-") as name:
        scratch = Path(name)
        try:
            wheel, sdist = build(scratch)
            check_wheel(wheel)
            check_sdist(sdist, scratch)
            print(f"contents are complete: {wheel.name}, {sdist.name}", flush=True)
            for kind, file in (("wheel", wheel), ("sdist", sdist)):
                if options.only not in (None, kind):
                    continue
                print(f"{kind}: in an empty environment", flush=True)
                place = make_environment(scratch / kind, options.torch, file)
                footlight = program(place, "footlight")
                smoke_test(program(place, "python"), footlight, scratch / f"{kind}-runs")
                time_help(footlight)
                shutil.rmtree(place)
        except Failure as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
    print(f"dist/ holds {wheel.name} and {sdist.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
