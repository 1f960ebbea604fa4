"""The notebooks are kept with the outputs of a full run, and lead from one to the next."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_belong_to_the_text(name: str) -> None:
    text, kept = jupytext.read(FOLDER / f"{name}.py"), nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert [(c.cell_type, c.source) for c in kept.cells] == [(c.cell_type, c.source) for c in text.cells]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # from a clean kernel, in order
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs and all(output.output_type != "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_seven() -> None:
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06", "07"]
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_all_open_and_close_alike(name: str) -> None:
    cells = jupytext.read(FOLDER / f"{name}.py").cells
    first, setup, last = cells[0].source, cells[1].source, cells[-1].source
    assert re.match(r"# .+\n", first)
    steps = re.findall(r"^(\d)\. ", first.partition("You will\n")[2], re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)] and len(steps) >= 2
    assert first.split("\n\n")[-1].startswith("The same from a terminal: `")
    assert setup.startswith("%matplotlib inline\nimport promptsr.wait_policy  # noqa: F401\nimport os\n")
    assert 'QUICK = "PROMPTSR_QUICK" in os.environ' in setup
    place = NAMES.index(name)
    neighbours = [NAMES[i] for i in (place - 1, place + 1) if 0 <= i < len(NAMES)]
    assert re.findall(r"\]\((.+?)\.ipynb\)", last.splitlines()[-1]) == neighbours
    assert last.index("## What to conclude, and what not") < last.index("## Exercises")


def test_the_full_run_of_the_training_says_that_it_learned() -> None:
    [cell] = [c for c in nbformat.read(FOLDER / "07_train_your_own.ipynb", as_version=4).cells if "assert" in c.source]
    assert "every photograph that was put aside comes out better" in cell.outputs[0].text


def test_the_tour_shows_the_equation_of_every_box() -> None:
    kept = nbformat.read(FOLDER / "01_architecture_tour.ipynb", as_version=4)
    outputs = [output for cell in kept.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]
    numbers = ["1", "6", "7a", "7b, 8", "9, 10a", "10b, 11, 12", "13, 14", "15, 16", "2", "3", "4"]
    assert [re.findall(r"\(eq\. (.+?)\)", text)[0] for text in shown] == numbers
    assert all(text.count("$$") == 2 for text in shown)
