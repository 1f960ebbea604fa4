"""The notebooks are kept with the outputs of a full run, and link from one to the next."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def committed_outputs(name: str) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    return [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_belong_to_the_text(name: str) -> None:
    text, kept = jupytext.read(FOLDER / f"{name}.py"), nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert [(c.cell_type, c.source) for c in kept.cells] == [(c.cell_type, c.source) for c in text.cells]
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))  # from a clean kernel, in order
    outputs = committed_outputs(name)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_link_to_their_neighbours(name: str) -> None:
    cells = jupytext.read(FOLDER / f"{name}.py").cells
    assert 'QUICK = "PROMPTSR_QUICK" in os.environ' in cells[1].source
    last, place = cells[-1].source, NAMES.index(name)
    neighbours = [NAMES[i] for i in (place - 1, place + 1) if 0 <= i < len(NAMES)]
    assert re.findall(r"\]\((.+?)\.ipynb\)", last.splitlines()[-1]) == neighbours
    assert last.index("## What to conclude, and what not") < last.index("## Exercises")


def test_the_full_run_of_the_training_learned() -> None:
    texts = [output.get("text", "") for output in committed_outputs("07_train_your_own")]
    assert any("every photograph that was put aside comes out better" in text for text in texts)


def test_the_tour_shows_the_equation_of_every_box() -> None:
    data = [output.get("data", {}) for output in committed_outputs("01_architecture_tour")]
    shown = [each["text/markdown"] for each in data if "text/markdown" in each]
    numbers = ["1", "6", "7a", "7b, 8", "9, 10a", "10b, 11, 12", "13, 14", "15, 16", "2", "3", "4"]
    assert [re.findall(r"\(eq\. (.+?)\)", text)[0] for text in shown] == numbers
    assert all(text.count("$$") == 2 for text in shown)
