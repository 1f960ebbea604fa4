"""README and SECURITY.md promise nothing that does not exist, and links of all documents lead somewhere."""

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from analysis.cli import app as analysis
from analysis.common.samples import write_samples
from promptsr.cli import app as promptsr
from promptsr.data import load_pair
from promptsr.model.taps import record
from promptsr.zoo.load import list_models, load_model
from workbench.server.limits import Limits, read_limits

ROOT = Path(__file__).parents[1]
FOLDERS = [".", "benchmarks", "benchmarks/results", "docs", "docs/handouts", "promptsr/weights", "trained"]
DOCUMENTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
README, SECURITY = ((ROOT / name).read_text() for name in ("README.md", "SECURITY.md"))
STARTS = {"promptsr ": promptsr, "python -m analysis ": analysis}
COMMANDS = [
    (app, shlex.split(line.partition("#")[0].removeprefix(start)))
    for line in README.splitlines()
    for start, app in STARTS.items()
    if line.startswith(start)
]
THREATS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECURITY.splitlines()
    if line.startswith("| ") and not line.startswith(("| Hazard", "|---"))
]


def anchors(document: Path) -> set[str]:
    """Headings as GitHub links to them: lower case, hyphens for spaces, other punctuation left out."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    found = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", document.read_text()))
    links = [link.partition("#") for link in found if "://" not in link]
    assert len(links) >= 5 * (document.name in ("README.md", "CONTRIBUTING.md") and document.parent == ROOT)
    for name, _, anchor in links:
        target = document.parent / name if name else document
        assert target.exists() and (not anchor or anchor in anchors(target)), f"{name}#{anchor} leads nowhere"


@pytest.mark.parametrize(("app", "words"), COMMANDS, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_every_command_is_understood(app: typer.Typer, words: list[str]) -> None:
    name, *arguments = words
    command: Any = typer.main.get_command(app)
    context = command.make_context("", list(words))
    sub = command.get_command(context, name)
    sub.make_context(name, arguments, parent=context)  # raises for an option that does not exist


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 8 and {app for app, _ in COMMANDS} == {promptsr, analysis}


def test_python_examples_compile_and_import() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(example, "README.md", "exec")
        imports = "\n".join(line for line in example.splitlines() if line.startswith(("import ", "from ")))
        exec(imports, {})


def test_scores_are_the_measured_ones() -> None:
    rows = dict(re.findall(r"^\| ((?:promptsr|bicubic)[\w-]*) \| (.*) \|$", README, re.MULTILINE))
    measured = {
        model.name: " | ".join(f"{s['psnr_y']:.2f} / {s['ssim_y']:.4f}" for s in model.scores.values())
        for model in list_models()
        if model.scores
    }
    assert "promptsr-tiny-x4" in measured
    assert rows == measured


def test_checks_of_maps_are_the_measured_ones() -> None:
    told = re.findall(
        r"^\| (?:Bicubic|PromptSR(?: \(tiny\))?|IMDN|SMFANet\+|HPINet-M|CRAFT) \| (.*) \|$", README, re.MULTILINE
    )
    results = (ROOT / "benchmarks/results/lam-check.md").read_text()
    measured = []
    for measure in ("far / distance", "far / gradient", "sanity"):
        rows = re.findall(rf"^\| {measure} \| (.*) \|$", results, re.MULTILINE)
        measured.append([row.replace("none", "–").split(" | ") for row in rows])  # of Set14 and of the comics
    models = zip(*(column for per_set in zip(*measured, strict=True) for column in per_set), strict=True)
    assert told == [" | ".join(model) for model in models] and len(told) == 7


def test_mean_diffusion_indices_are_the_measured_ones() -> None:
    [told] = re.findall(r"^\| DI \| (.*) \|$", README, re.MULTILINE)
    results = (ROOT / "benchmarks/results/lam-study.md").read_text()
    measured = dict(re.findall(r"^\| (\w[\w-]*) \| (\d[^|]*) \|", results, re.MULTILINE))
    order = ("bicubic", "promptsr-tiny", "promptsr-x4", "IMDN", "SMFANet", "HPINet", "CRAFT")
    assert told.split(" | ") == [next(di for name, di in measured.items() if name.startswith(each)) for each in order]
    assert len(measured) == 7


def test_categories_that_hold_all_pixels_are_as_many_as_told(tmp_path: Path) -> None:
    write_samples(tmp_path, 387)  # as notebook 04 does
    lr = load_pair(tmp_path / "chelsea.png", 4)[1]
    counts = {}
    for name in ("promptsr-x4", "promptsr-tiny-x4"):
        network: Any = load_model(name).network
        with torch.no_grad(), record(network, ["*_category"]) as seen:
            network(lr)
        counts[name] = [len(category.unique()) for category in seen.values()]
    full, small = counts.values()
    told = " ".join(README.split())
    assert f"Of the {len(full)} category maps of `promptsr-x4`" in told and f"{full.count(1)} hold a single" in told
    assert f"The {len(small)} maps of `promptsr-tiny-x4` hold {min(small)} categories or more" in told


@pytest.mark.parametrize("row", THREATS, ids=[row[0] for row in THREATS])
def test_every_threat_has_a_defence_and_tests(row: list[str]) -> None:
    hazard, defence, tests = row
    assert hazard and defence
    named = re.findall(r"`([^`]+)`", tests)
    assert named and tests == ", ".join(f"`{name}`" for name in named)
    for name in named:
        file, _, function = name.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
        assert function in found if function else found


@pytest.mark.parametrize(
    "hazard",
    [
        *("pickle", "TorchScript", "PNG", "JPEG", "WebP", "TIFF", "GIF", "ZIP", "Exotic decoders", "SSRF", "starves"),
        *("traversal in uploads", "traversal in parameters", "paths that are sent back", "over the API"),
        "files of others",
    ],
)
def test_no_hazard_is_left_out(hazard: str) -> None:
    assert any(hazard in row[0] for row in THREATS)


def test_the_limits_that_are_shown_exist(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", SECURITY, re.DOTALL)
    assert example
    path = tmp_path / "limits.toml"
    path.write_text(example[1])
    assert read_limits(path, Limits()) == replace(Limits(), seconds=60, input_pixels=2_000_000, waiting_each=1)
