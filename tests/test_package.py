"""The wheel holds what the packages need and nothing else, and works where nothing of the checkout is in sight."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from promptsr.imaging import decode
from promptsr.inference.upscaler import Upscaler
from promptsr.zoo.load import load_model
from tests.conftest import OFFLINE

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("promptsr", "analysis", "workbench")
USER = """
from promptsr import load_model
from analysis import Region

reveal_type(load_model("promptsr-tiny-x4").scale)
reveal_type(Region(1, 2, 3).x)
load_model(4)
"""
# The types of other packages are their own matter, and take long.
MYPY = "[mypy]\nfollow_imports = skip\n[mypy-promptsr.*,analysis.*]\nfollow_imports = silent\n"


@pytest.fixture(scope="module")
def wheel(tracked_files: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files: in the checkout, what an older build left behind would come along."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked_files:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source)
    [found] = target.iterdir()
    return found


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `env`, a new environment that has the wheel, and sees what this one has of other packages."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    pip("--python", folder / "env" / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    # Files of paths count in folders of the environment itself alone, so the editable install here stays out of sight.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    [site] = (folder / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(others) + "\n")
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(folder / "photo.png")  # 54 x 40
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def run(place: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program of the new environment in the folder that it lies in."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"} | {"PYTHONPATH": OFFLINE}
    command = list(map(str, (place / "env" / "bin" / name, *arguments)))
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path, tracked_files: tuple[Path, ...]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    about = f"promptsr-{version('promptsr')}.dist-info"
    held = {name for name in names if name.partition("/")[0] != about}
    tracked = {path.relative_to(ROOT).as_posix() for path in tracked_files}
    assert held == {name for name in tracked if name.partition("/")[0] in PACKAGES}
    assert f"{about}/licenses/LICENSE" in names
    for name in ("weights/promptsr-tiny-x4.safetensors", "kernels/vectors.h", "downloads/sources.toml", "py.typed"):
        assert f"promptsr/{name}" in held


def test_nothing_of_the_checkout_is_imported(place: Path) -> None:
    script = f"from importlib.util import find_spec\nfor name in {PACKAGES}: print(find_spec(name).origin)"
    done = run(place, "python", "-c", script)
    assert done.returncode == 0, done.stderr
    assert [Path(line).is_relative_to(place / "env") for line in done.stdout.splitlines()] == [True, True, True]


def test_version(place: Path) -> None:
    assert run(place, "promptsr", "--version").stdout == version("promptsr") + "\n"


def test_upscale_with_bundled_weights(place: Path) -> None:
    done = run(place, "promptsr", "upscale", "photo.png", "--output", "big.png")
    assert done.returncode == 0, done.stderr
    with Image.open(place / "big.png") as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (160, 216, 3)
    expected = Upscaler(load_model("promptsr-tiny-x4"))(decode(place / "photo.png")).picture.color
    assert abs(pixels - expected).max() <= 1  # of 255: the number of threads may differ


def test_attribution(place: Path) -> None:
    where = ("--x", 100, "--y", 80, "--window", 16, "--steps", 5)
    models = ("--model", "bicubic-x4", "--model", "promptsr-tiny-x4")
    done = run(place, "python", "-m", "analysis", "lam", "photo.png", *models, *where, "--out", "lam", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert [found["model"] for found in json.loads(done.stdout)["maps"]] == ["bicubic-x4", "promptsr-tiny-x4"]
    names = {"bicubic-x4.npz", "promptsr-tiny-x4.npz", "lam.json", "lam.png"}
    assert {path.name for path in (place / "lam").iterdir()} == names
    reach = {}
    for model in ("bicubic-x4", "promptsr-tiny-x4"):
        with np.load(place / "lam" / f"{model}.npz") as saved:
            attributions = saved["attribution"]
        rows, columns = np.nonzero(abs(attributions).sum(0))
        assert attributions.shape == (3, 40, 54)
        reach[model] = (rows.min(), rows.max(), columns.min(), columns.max())
    # The window is that of rows 20 to 23 and columns 25 to 28 of the input; cubic interpolation takes two more.
    assert reach["bicubic-x4"] == (18, 25, 23, 30)
    assert reach["promptsr-tiny-x4"] == (0, 39, 0, 53)


def test_types_are_seen_from_outside(place: Path) -> None:
    (place / "user.py").write_text(USER)
    (place / "mypy.ini").write_text(MYPY)
    python = place / "env" / "bin" / "python"
    done = run(place, "python", "-m", "mypy", "--python-executable", python, "--cache-dir", place / "cache", "user.py")
    notes = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert notes[:2] == ['note: Revealed type is "int"', 'note: Revealed type is "int"'], done.stdout + done.stderr
    assert len(notes) == 4 and notes[2].startswith('error: Argument 1 to "load_model" has incompatible type "int"')
