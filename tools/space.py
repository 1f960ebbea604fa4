"""Write a folder that runs as a Gradio Space, or by its Dockerfile.

    python -m tools.space outputs/space    # `make space`

The builder of a Space sees requirements.txt alone, so our packages lie in the folder beside it, and every package that
they need is pinned there.
"""

import shutil
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Annotated

import typer
from huggingface_hub import SpaceCardData
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from promptsr.cli.console import run
from promptsr.support.errors import UserError
from promptsr.support.files import write_text

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("promptsr", "analysis", "workbench")
_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_BUILDS = ("nvidia", "cuda", "triton")
"""Starts of names that torch needs for other devices than a CPU."""
_MARKERS = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "python_version": "3.11"}


def write_space(folder: Annotated[Path, typer.Argument(help="Must not exist, or be empty.")]) -> None:
    """Write the folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already: remove it, or name another folder.")
    pins = read_pins()
    write_text(folder / "requirements.txt", requirements(pins))
    write_text(folder / "README.md", f"---\n{header(pins)}---\n\n{(_ROOT / 'deploy' / 'README.md').read_text('utf-8')}")
    write_text(folder / "packages.txt", "g++\n")  # of Debian, for the kernels
    for name in ("deploy/app.py", "deploy/Dockerfile", "LICENSE"):
        shutil.copy(_ROOT / name, folder)
    for name in _PACKAGES:
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def read_pins() -> dict[str, str]:
    """Return the versions of constraints.txt by canonical name."""
    lines = (_ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def header(pins: dict[str, str]) -> str:
    """Return the YAML by which a Space is built."""
    return (
        SpaceCardData(
            title="PromptSR Workbench",
            emoji="🔍",
            colorFrom="gray",
            colorTo="blue",
            sdk="gradio",
            sdk_version=pins["gradio"],
            app_file="app.py",
            python_version=_MARKERS["python_version"],
            license="apache-2.0",
            short_description="Enlarge photographs, and look inside the network",
        )
        .to_yaml()
        .rstrip()
        + "\n"
    )


def requirements(pins: dict[str, str]) -> str:
    """Return the pins of every package that the page needs, directly or not; torch as its build for CPUs."""
    extras = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    queue = [Requirement(line) for line in [*extras["dependencies"], "promptsr[app]"]]
    needed, seen = set[str](), set[tuple[str, str]]()
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith(_BUILDS):
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name == "promptsr":
                queue += map(Requirement, extras["optional-dependencies"].get(extra, []))
                continue
            needed.add(name)
            try:
                found = map(Requirement, requires(name) or [])
            except PackageNotFoundError as error:
                raise UserError(f"{name} is not installed: run make install.") from error
            marks = {**_MARKERS, "extra": extra}
            queue += [each for each in found if each.marker is None or each.marker.evaluate(marks)]
    lines = [f"{name}=={pins[name]}{'+cpu' * (name == 'torch')}" for name in sorted(needed)]
    return "\n".join([f"--extra-index-url {_TORCH_INDEX}", *lines, ""])


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(write_space)

if __name__ == "__main__":
    run(app)
