"""The page of the architecture is the one that the imports give now, and its script reads imports rightly."""

from pathlib import Path

import pytest

from docs.imports import PAGE, ROOT, find_modules, module_graph, own_rooms, page, reduced

FILES = {
    "promptsr/__init__.py": '"""The system."""',
    "promptsr/errors.py": '"""What can go wrong.\n\nMore of it."""',
    "promptsr/cli/__init__.py": "def app():\n    from workbench import page",
    "promptsr/cli/__main__.py": "from analysis import lam",
    "analysis/__init__.py": "",
    "analysis/lam.py": "from promptsr.errors import UserError",
    "analysis/report.py": "import analysis.figures.style",
    "analysis/figures/__init__.py": "",
    "analysis/figures/style.py": "from analysis import lam",
    "analysis/cli/__init__.py": "",
    "analysis/cli/lam.py": "from analysis import lam, report\n\ndef run():\n    from analysis.figures import style",
    "workbench/__init__.py": "",
    "workbench/page.py": "import promptsr.errors\nfrom analysis.report import anything",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def arrows(text: str) -> set[tuple[str, str]]:
    """The arrows of a page, between the titles of rooms, or between packages."""
    diagram = [line.strip() for line in text.partition("```mermaid")[2].partition("```")[0].splitlines()]
    titles = {line.partition("[")[0]: line.partition("<b>")[2].partition("</b>")[0] for line in diagram if "[" in line}
    ends = (line.split(" --> ") for line in diagram if "-->" in line)
    return {(titles.get(start, start), titles.get(end, end)) for start, end in ends}


def test_page_is_the_one_that_the_imports_give() -> None:
    assert PAGE.read_text() == page(), "files or imports have changed: run `make architecture`"


def test_arrows_of_a_small_project(tmp_path: Path) -> None:
    text = page(write(tmp_path, FILES))
    assert arrows(text) == {
        ("analysis/cli", "analysis/report.py"),
        ("analysis/report.py", "analysis/figures"),
        ("analysis/figures", "analysis/lam.py"),
        ("workbench", "analysis"),
        ("analysis", "promptsr"),
    }
    assert "when a function is called: `workbench` by `promptsr/cli/__init__.py`." in text
    assert "- `errors.py`: What can go wrong.\n" in text and "The system." in text and "More of it" not in text


def test_rooms_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "analysis/figures/style.py": "from analysis.cli import lam"})
    with pytest.raises(ValueError, match=r"analysis/cli, analysis/figures, analysis/report.py import each other"):
        page(tmp_path)


@pytest.mark.parametrize(("package", "most"), [("analysis", 20), ("workbench", 16)])
def test_rooms_import_few_others(package: str, most: int) -> None:
    modules = find_modules(ROOT)
    rooms = own_rooms(modules, module_graph(modules, deferred=True))
    inside = {room: others for room, others in rooms.items() if room.startswith(package)}
    assert len(inside) > 5 and sum(map(len, inside.values())) <= most


def test_a_longer_way_implies_an_arrow() -> None:
    assert reduced({"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}) == {
        "a": {"b", "d"},
        "b": {"c"},
        "c": set(),
        "d": {"c"},
    }
