"""The table of threats in SECURITY.md: every row names tests that there are."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.server.limits import Limits, read_limits

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "SECURITY.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| Hazard", "|---"))
]
ASKED = (
    "pickle",
    "TorchScript",
    *("PNG", "JPEG", "WebP", "TIFF", "GIF", "ZIP"),
    "Exotic decoders",
    "traversal in uploads",
    "traversal in parameters",
    "paths that are sent back",
    "SSRF",
    "over the API",
    "starves",
    "files of others",
)
"""Hazards that the table must name."""


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
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


def test_no_hazard_is_left_out() -> None:
    hazards = " ".join(row[0] for row in ROWS)
    assert [hazard for hazard in ASKED if hazard not in hazards] == []


def test_the_limits_that_it_shows_exist(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "SECURITY.md").read_text(), re.DOTALL)
    assert example
    path = tmp_path / "limits.toml"
    path.write_text(example[1])
    assert read_limits(path, Limits()) == replace(Limits(), seconds=60, input_pixels=2_000_000, waiting_each=1)
