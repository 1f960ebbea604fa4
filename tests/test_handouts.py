"""Each notebook has a handout of one page: aim, time, steps, and questions with folded solutions.

tests/test_documents.py follows the links of the handouts.
"""

import re
from pathlib import Path

import pytest

from tests.notebooks.test_committed_notebooks import committed_outputs

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "handouts"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
INDEX = (FOLDER / "README.md").read_text()
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?"
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n(?!</details>).+?\n</details>\n", re.DOTALL)


def test_each_notebook_has_a_handout() -> None:
    assert NOTEBOOKS and sorted(path.stem for path in FOLDER.glob("*.md")) == [*NOTEBOOKS, "README"]
    assert re.findall(r"^\| .*\]\((\w+)\.md\)", INDEX, re.MULTILINE) == NOTEBOOKS
    assert re.findall(r"^\| .*/notebooks/(\w+)\.ipynb\)", INDEX, re.MULTILINE) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_handout_is_a_page_with_folded_solutions(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    assert len(text.splitlines()) <= 72 and f"(../../notebooks/{name}.ipynb)" in text
    assert re.findall(r"^(?:\*\*([A-Z]\w+)\.?\*\*|## (\w+))", text, re.MULTILINE) == [
        *((part, "") for part in ("Aim", "Time", "Before", "Steps")),
        *(("", part) for part in ("Questions", "Exercises")),
    ]
    [asked] = re.findall(r"^## Questions\n\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    before, *questions = re.split(r"^\*\*(?=\d\.\*\* )", asked, flags=re.MULTILINE)
    assert not before and 4 <= len(questions) <= 6
    for number, question in enumerate(questions, start=1):
        assert question.startswith(f"{number}.** ") and question.count("<details>") == 1
        assert not SOLUTION.split(question)[-1].strip() and len(SOLUTION.findall(question)) == 1
    assert text.count("<details>") == text.count("</details>") == len(questions) + 1  # the exercises


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_times_add_up_and_steps_are_the_sections(name: str) -> None:
    text, source = (FOLDER / f"{name}.md").read_text(), (ROOT / "notebooks" / f"{name}.py").read_text()
    [(total, parts)] = re.findall(r"^\*\*Time\.\*\* (\d+) minutes, estimated: (.*?)\.$", text, re.DOTALL | re.MULTILINE)
    assert int(total) == sum(map(int, re.findall(r"[a-z]\s(\d+)", parts)))
    assert re.findall(rf"\]\({name}\.md\) \| (\d+) \|", INDEX) == [total]
    sections = re.findall(r"^# ## (\d+)\. ", source, re.MULTILINE)
    assert re.findall(r"^(\d+)\. ", text, re.MULTILINE) == sections
    checks = len(re.findall(r"^check\(", source, re.MULTILINE))
    assert f"({len(sections)} sections)" in parts and (f"exercises in the text {10 * checks} ({checks})" in parts) == (
        checks > 0
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_numbers_of_the_stored_run_are_in_its_outputs(name: str) -> None:
    """They are written as code, exactly as the notebook shows them."""
    text = (FOLDER / f"{name}.md").read_text()
    shown = " ".join(each.get("text", each.get("data", {}).get("text/plain", "")) for each in committed_outputs(name))
    stored = set(re.findall(NUMBER, shown))
    assert [number for number in re.findall(rf"`({NUMBER})`", text) if number not in stored] == []
    told = [part for part in re.split(r"\n\n|\n- ", text) if "tored run" in part]
    assert [part for part in told if re.search(r"\d\.\d", re.sub(rf"`{NUMBER}`", "", part))] == []
