"""The rules of the house: dependency lists in step, one-way imports, small files, nothing machine-specific."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from docs import imports

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 400


@cache
def requirements() -> tuple[str, ...]:
    """Every direct requirement of pyproject.toml, those of its extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return (*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values()))


@cache
def pins() -> dict[str, Version]:
    """Canonical name -> version of every line of constraints.txt; a line that is no exact pin is an error."""
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, version = line.split("==")
        assert canonicalize_name(name) not in found, f"{name} is pinned twice"
        found[canonicalize_name(name)] = Version(version)
    return found


def imported(tree: ast.AST, *, deferred: bool) -> Iterator[str]:
    """Top-level names of what `tree` imports absolutely; with `deferred`, those inside functions too."""
    return (name.partition(".")[0] for name in imports.imported(tree, deferred=deferred))


def forbidden_imports(package: str, forbidden: set[str], *, deferred: bool) -> list[str]:
    """`file imports name` for each import in `package` of something it may not know."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imported(ast.parse(path.read_text(encoding="utf-8")), deferred=deferred)
        if name in forbidden
    ]


def test_conda_environment_lists_the_same_requirements() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert conda == ["python=3.11", "pip"]
    assert [entry for entry in pip if entry.startswith("-")] == ["-c constraints.txt", "-e ."]
    assert sorted(entry for entry in pip if not entry.startswith("-")) == sorted(requirements())


@pytest.mark.parametrize("line", requirements())
def test_requirement_is_pinned_within_its_bounds(line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier, f"{line} has no lower bound"
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_torch_pin_is_exact_and_takes_any_build() -> None:
    assert str(pins()["torch"]) == "2.13.0"
    assert [name for name, version in pins().items() if version.local] == []


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text().splitlines()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("index", ["https://torch.example/cpu", ""])
def test_make_install_takes_torch_from_the_index_asked_for(index: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    plan = subprocess.run(
        ["make", "-n", "install"],
        cwd=ROOT,
        env={**environment, "TORCH_INDEX_URL": index},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    torch_step, project_step = (line for line in plan if "pip install" in line)
    assert "install torch==2.13.0 torchvision==" in torch_step
    assert (f"--index-url '{index}'" in torch_step) if index else ("index-url" not in torch_step)
    assert project_step.endswith("-c constraints.txt -e '.[dev,mcp,notebooks,peers,onnx]'")


def test_no_file_names_a_machine_or_a_package_index(tracked_files: tuple[Path, ...]) -> None:
    # In pieces, so that this file does not match itself.
    folders = "|".join(["work", "root", "home/[a-z]+", "Users/[A-Za-z]+"])
    hosts = "|".join(re.escape(".".join(parts)) for parts in [("pypi", "org"), ("pythonhosted", "org")])
    pattern = re.compile(rf"(?<![\w.~/-])/({folders})/|{hosts}".encode())
    assert pattern.search(b"open('/wor" + b"k/main')") and not pattern.search(b"see ../work/main, a.b/root/c")
    hits = [
        f"{path.relative_to(ROOT)}: {hit[0]!r}" for path in tracked_files if (hit := pattern.search(path.read_bytes()))
    ]
    assert hits == []


def test_python_files_stay_short(tracked_files: tuple[Path, ...]) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_bytes().splitlines())
        for path in tracked_files
        if path.suffix == ".py"
    }
    assert "tests/test_house.py" in lengths
    assert {name: lines for name, lines in lengths.items() if lines >= MAX_LINES} == {}


def test_import_finder_sees_what_loads_and_what_waits() -> None:
    source = """
import numpy.linalg
try:
    from gradio.components import Image
except ImportError:
    from . import local
class A:
    import scipy
if TYPE_CHECKING:
    import pandas
def later():
    import workbench
"""
    tree = ast.parse(source)
    assert list(imported(tree, deferred=False)) == ["numpy", "gradio", "scipy"]
    assert list(imported(tree, deferred=True)) == ["numpy", "gradio", "scipy", "pandas", "workbench"]


def test_promptsr_loads_without_the_rooms_above_it() -> None:
    assert list((ROOT / "promptsr").rglob("*.py")), "nothing to look at"
    assert forbidden_imports("promptsr", {"analysis", "workbench", "gradio"}, deferred=False) == []


def test_analysis_knows_no_interface() -> None:
    assert forbidden_imports("analysis", {"workbench", "gradio"}, deferred=True) == []
