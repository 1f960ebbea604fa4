"""Rules that the linters do not know: dependency lists in step, short files, nothing machine-specific."""

import itertools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 400


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTED = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
REQUIREMENTS = [line for line in LISTED if not line.startswith("promptsr[")]
EXTRAS = "[all,dev,mcp,notebooks,peers,onnx]"
PINS = {
    canonicalize_name(name): Version(version)
    for name, version in (
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
}


def test_conda_environment_is_that_of_make() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert conda == ["python=3.11", "pip"]
    assert pip == ["-c constraints.txt", f"-e .{EXTRAS}"]


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_requirement_is_pinned_within_its_bounds(line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier, f"{line} has no lower bound"
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_pins_name_no_build() -> None:
    assert [name for name, version in PINS.items() if version.local] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("index", ["https://torch.example/cpu", ""])
def test_make_install_takes_torch_from_the_index_asked_for(index: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["TORCH_INDEX_URL"] = index
    plan = subprocess.check_output(["make", "-n", "install"], cwd=ROOT, env=environment, text=True)
    torch_step, project_step = (line for line in plan.splitlines() if "pip install" in line)
    assert "install torch==2.13.0 torchvision==" in torch_step
    assert (f"--index-url '{index}'" in torch_step) if index else ("index-url" not in torch_step)
    assert project_step.endswith(f"-c constraints.txt -e '.{EXTRAS}'")


def test_no_file_names_a_machine_or_a_package_index(tracked_files: tuple[Path, ...]) -> None:
    # In pieces, so that this file does not match itself.
    folders = "|".join(["work", "root", "home/[a-z]+", "Users/[A-Za-z]+"])
    hosts = "|".join(re.escape(".".join(parts)) for parts in [("pypi", "org"), ("pythonhosted", "org")])
    pattern = re.compile(rf"(?<![\w.~/-])/({folders})/|{hosts}".encode())
    assert pattern.search(b"open('/wor" + b"k/main')") and not pattern.search(b"see ../work/main, a.b/root/c")
    assert [path for path in tracked_files if pattern.search(path.read_bytes())] == []


def test_python_files_stay_short(tracked_files: tuple[Path, ...]) -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in tracked_files if path.suffix == ".py"}
    assert Path(__file__) in lengths and [path for path, lines in lengths.items() if lines >= MAX_LINES] == []
