"""docs/architecture.md shows the imports as they are now, and its script reads imports correctly."""

from graphlib import CycleError
from pathlib import Path

import pytest

from docs.imports import PAGE, ROOT, find_modules, module_graph, own_rooms, page

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "files or imports have changed: run `make architecture`"


def test_arrows_of_a_small_project(project: Path) -> None:
    """Arrows that a longer way implies are left out, such as those of analysis/cli to figures and lam.py."""
    text = page(project)
    diagram = [line.strip() for line in text.partition("```mermaid")[2].partition("```")[0].splitlines()]
    titles = {line.partition("[")[0]: line.partition("<b>")[2].partition("</b>")[0] for line in diagram if "[" in line}
    ends = (line.split(" --> ") for line in diagram if "-->" in line)
    assert {(titles.get(start, start), titles.get(end, end)) for start, end in ends} == {
        ("analysis/cli", "analysis/report.py"),
        ("analysis/report.py", "analysis/figures"),
        ("analysis/figures", "analysis/lam.py"),
        ("workbench", "analysis"),
        ("analysis", "promptsr"),
    }
    assert "when a function is called: `workbench` by `promptsr/cli/__init__.py`." in text
    assert "- `errors.py`: What can go wrong.\n" in text and "The system." in text and "More of it" not in text


def test_rooms_in_a_circle_are_refused(project: Path) -> None:
    (project / "analysis" / "figures" / "style.py").write_text("from analysis.cli import lam")
    with pytest.raises(CycleError, match=r"analysis/cli.*analysis/figures"):
        page(project)


@pytest.mark.parametrize(("package", "most"), [("analysis", 20), ("workbench", 16)])
def test_rooms_import_few_others(package: str, most: int) -> None:
    modules = find_modules(ROOT)
    rooms = own_rooms(modules, module_graph(modules, deferred=True))
    rooms.pop("analysis/paper")  # it shows what all other rooms find
    inside = {room: others for room, others in rooms.items() if room.startswith(package)}
    assert len(inside) > 5 and sum(map(len, inside.values())) <= most
