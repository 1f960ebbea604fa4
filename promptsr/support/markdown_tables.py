"""Tables as Markdown."""

from collections.abc import Mapping, Sequence


def markdown(lines: Sequence[Mapping[str, str]]) -> str:
    """Return a table whose columns are the keys of its lines, all but the first aligned to the right."""
    head = list(lines[0])
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *([line[key] for key in head] for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
