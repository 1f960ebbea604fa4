"""Write docs/architecture.md, the rooms of the project and their imports, from the code: `make architecture`."""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
PACKAGES = ("workbench", "analysis", "promptsr")
_TEXT = """# Architecture

Made by `make architecture` from the imports and the first words of every file; a test compares.

A room is a folder of a package with all below it, or a file in the package itself. An arrow leads from a room to one
that it imports; arrows that a longer way implies are left out. Neither rooms nor packages import each other in circles.
Loaded only when a function is called: {called}.

```mermaid
flowchart TB
{diagram}
```
"""

Graph = Mapping[str, set[str]]


def find_modules(root: Path) -> dict[str, Path]:
    """Map dotted names to files, for all modules of the packages but those that only start a program (`__main__`)."""
    paths = (path for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    names = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: path for name, path in names.items() if not name.endswith("__main__")}


def imported(tree: ast.AST, *, deferred: bool) -> Iterator[str]:
    """Yield the dotted names of absolute imports, with `deferred` also those inside functions and for types.

    `from a import b` is named `a.b`.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif deferred or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            yield from imported(node, deferred=deferred)


def module_graph(modules: Mapping[str, Path], *, deferred: bool) -> dict[str, set[str]]:
    """Map every module to the modules of the project that it imports."""
    graph = {}
    for name, path in modules.items():
        wanted = imported(ast.parse(path.read_text(encoding="utf-8")), deferred=deferred)
        known = {each if each in modules else each.rpartition(".")[0] for each in wanted}
        graph[name] = {each for each in known if each in modules} - {name}
    return graph


def reduced(graph: Graph) -> dict[str, set[str]]:
    """Remove arrows that a longer way implies.

    Raises:
        CycleError: nodes import each other in a circle; move below them what both need.
    """
    ahead: dict[str, set[str]] = {}
    for node in TopologicalSorter(graph).static_order():  # imported modules first
        ahead[node] = graph[node].union(*(ahead[near] for near in graph[node]))
    return {node: near - set().union(*(ahead[each] for each in near)) for node, near in graph.items()}


def find_rooms(modules: Mapping[str, Path]) -> dict[str, str]:
    """Map every module to its room: a folder of a package with all below it, or a file in the package itself."""
    rooms = {}
    for name, path in modules.items():
        package = name.partition(".")[0]
        inside = path.relative_to(modules[package].parent)
        rooms[name] = package if path == modules[package] else f"{package}/{inside.parts[0]}"
    return rooms


def own_rooms(modules: Mapping[str, Path], graph: Graph) -> dict[str, set[str]]:
    """Map every room to the rooms of the same package that it imports."""
    packages = {name: name.partition(".")[0] for name in modules}
    own = {name: {each for each in graph[name] if packages[each] == packages[name]} for name in modules}
    return collapsed(own, find_rooms(modules))


def collapsed(graph: Graph, places: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the graph between places, without arrows inside a place."""
    whole: dict[str, set[str]] = {places[name]: set() for name in graph}
    for name, imports in graph.items():
        whole[places[name]] |= {places[each] for each in imports} - {places[name]}
    return whole


def page(root: Path = ROOT) -> str:
    """Return the text of the page for the project in a folder.

    Raises:
        CycleError: rooms of a package, or packages, import each other in a circle.
    """
    modules = find_modules(root)
    packages = {name: name.partition(".")[0] for name in modules}
    graph = module_graph(modules, deferred=True)
    rooms = find_rooms(modules)
    members = {room: [name for name in modules if rooms[name] == room] for room in dict.fromkeys(rooms.values())}
    node = {room: f"room{i}" for i, room in enumerate(members)}
    arrows = reduced(own_rooms(modules, graph))
    lines = []
    for package in PACKAGES:
        inside = [room for room in members if room.partition("/")[0] == package]
        lines += [f"  subgraph {package}", *(f'    {node[room]}["{_label(room, members[room])}"]' for room in inside)]
        lines += [f"    {node[room]} --> {node[each]}" for room in inside for each in sorted(arrows[room])]
        lines += ["  end"]
    loaded = collapsed(module_graph(modules, deferred=False), packages)
    lines += [f"  {package} --> {other}" for package, others in reduced(loaded).items() for other in sorted(others)]
    called = [
        f"`{other}` by `{modules[name].relative_to(root).as_posix()}`"
        for name, imports in graph.items()
        for other in sorted({packages[each] for each in imports} - loaded[packages[name]] - {packages[name]})
    ]
    sections = (_section(room, [modules[name] for name in names]) for room, names in members.items())
    return "\n".join([_TEXT.format(called=", ".join(called) or "nothing", diagram="\n".join(lines)), *sections])


def _label(room: str, names: list[str]) -> str:
    return f"<b>{room}</b>" + (f"<br>{len(names)} files" if len(names) > 1 else "")


def _section(room: str, files: list[Path]) -> str:
    """Return the first sentences of a room, if it has any, and those of its files."""
    lines = []
    for path in files:
        words = " ".join(
            (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0].split()
        )
        head = "" if path.stem == "__init__" else f"- `{path.name}`: "
        lines += textwrap.wrap(head + words, 120, subsequent_indent="  " * bool(head), break_on_hyphens=False)
        lines += [""] * (not head)
    return "\n".join([f"## {room}", "", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
