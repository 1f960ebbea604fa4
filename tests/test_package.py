"""The wheel holds the files of the packages and nothing else, and works outside of the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

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
    """Built from a copy of the tracked files: leftovers of older builds in the checkout would be included."""
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
    """A folder with `env`, a new environment that has the wheel, and the other packages of this environment."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    pip("--python", folder / "env" / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    # .pth files are read in the environment's own folder only, so the editable install here is not visible.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    [site] = (folder / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(others) + "\n")
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(folder / "photo.png")  # 54 x 40
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def run(place: Path, name: str, *arguments: object, code: int = 0) -> str:
    """Run a program of the new environment in the folder of that environment."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"} | {"PYTHONPATH": OFFLINE}
    command = list(map(str, (place / "env" / "bin" / name, *arguments)))
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


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
    found = run(place, "python", "-c", script).splitlines()
    assert [Path(line).is_relative_to(place / "env") for line in found] == [True, True, True]
    assert run(place, "promptsr", "--version") == version("promptsr") + "\n"


def test_upscale_with_bundled_weights(place: Path) -> None:
    run(place, "promptsr", "upscale", "photo.png", "--output", "big.png")
    pixels = decode(place / "big.png").color.astype(int)
    assert pixels.shape == (160, 216, 3)
    expected = Upscaler(load_model("promptsr-x4"))(decode(place / "photo.png")).picture.color
    assert abs(pixels - expected).max() <= 1  # of 255: the number of threads may differ


def test_attribution(place: Path) -> None:
    where = ("--x", 100, "--y", 80, "--window", 16, "--steps", 5)
    models = ("--model", "bicubic-x4", "--model", "promptsr-tiny-x4")
    told = run(place, "python", "-m", "analysis", "lam", "photo.png", *models, *where, "--out", "lam", "--json", "-")
    assert [found["model"] for found in json.loads(told)["maps"]] == ["bicubic-x4", "promptsr-tiny-x4"]
    names = {"bicubic-x4.npz", "promptsr-tiny-x4.npz", "lam.json", "lam.png"}
    assert {path.name for path in (place / "lam").iterdir()} == names


def test_types_are_seen_from_outside(place: Path) -> None:
    (place / "user.py").write_text(USER)
    (place / "mypy.ini").write_text(MYPY)
    python = place / "env" / "bin" / "python"
    options = ("--python-executable", python, "--cache-dir", place / "cache")
    told = run(place, "python", "-m", "mypy", *options, "user.py", code=1)
    notes = [line.partition(": ")[2] for line in told.splitlines()]
    assert notes[:2] == ['note: Revealed type is "int"', 'note: Revealed type is "int"'], told
    assert len(notes) == 4 and notes[2].startswith('error: Argument 1 to "load_model" has incompatible type "int"')
