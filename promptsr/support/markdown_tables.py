"""Tables as Markdown."""

from collections.abc import Mapping, Sequence


def markdown(lines: Sequence[Mapping[str, str]]) -> str:
    """Return a table whose columns are the keys of its lines, all but the first aligned to the right.

    Cells are Markdown, but for `|` and `<`, which may be part of a name.
    """
    head = list(lines[0])
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *([line[key] for key in head] for line in lines)]
    cells = ([cell.replace("|", r"\|").replace("<", r"\<") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
