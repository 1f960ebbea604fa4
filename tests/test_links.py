"""Every link and picture of our documents leads to a file or a heading that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [".", "benchmarks", "benchmarks/results", "docs", "promptsr/weights", "trained"]
DOCUMENTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The headings as GitHub links to them: lower case, hyphens for spaces, other punctuation left out."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets(document: Path) -> list[str]:
    """What links lead to within the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", document.read_text()))
    return [target for target in found if "://" not in target]


def leads_nowhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = document.parent / path if path else document
    return not file.exists() or (anchor != "" and anchor not in anchors(file))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert [target for target in targets(document) if leads_nowhere(document, target)] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_are_found(name: str) -> None:
    assert len(targets(ROOT / name)) >= 5


def test_a_link_to_nothing_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# What is `here`?\n\n```\n# not this\n```\n")
    assert not leads_nowhere(document, "#what-is-here")
    assert leads_nowhere(document, "#not-this")
    assert leads_nowhere(document, "b.md")
    assert leads_nowhere(document, "b.md#what-is-here")
