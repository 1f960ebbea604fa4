"""The list of the authors' files: complete, in step with networks, downloads and README; and what is missing."""

from pathlib import Path
from pkgutil import resolve_name

from promptsr.downloads import load_catalogue
from promptsr.paper.tables import LATER, published
from promptsr.zoo import peers
from promptsr.zoo.authors_files import authors_files
from promptsr.zoo.listing import ModelInfo

README = (Path(__file__).parents[2] / "README.md").read_text()
SPANDREL = {"SwinIR", "SRFormer", "OmniSR", "ATD", "RCAN"}


def test_every_method_of_the_tables_has_its_page() -> None:
    methods = {method for table in ("I", "III") for method in published(table, clear_only=False)["method"]}
    later = set(published(LATER, clear_only=False)["method"])
    assert methods - {"PromptSR", "PromptSR*"} == {entry.method for entry in authors_files()} - later
    kinds = {resolve_name(f"promptsr.zoo.peers.{place}").__name__ for place in peers._NETWORKS}
    assert {entry.architecture for entry in authors_files()} == kinds | SPANDREL
    assert {entry.architecture for entry in authors_files() if entry.package} == SPANDREL


def test_downloads_and_their_pages_are_those_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    for entry in authors_files():
        for scale in (2, 3, 4):
            for name in entry.downloads([scale]):
                known = catalogue[name]
                assert (known.page, [file.name for file in known.files]) == (entry.page, entry.names([scale]))


def test_readme_names_all_networks() -> None:
    assert f"the authors' own checkpoint of {peers.peer_titles()} |" in README


def test_what_is_missing() -> None:
    entries = {entry.method: entry for entry in authors_files()}
    light, large = (ModelInfo(f"m{size}", 3, size, True, {}, "SwinIR") for size in (900_000, 11_900_000))
    carn = ModelInfo("carn.pth@x2", 2, 1_600_000, True, {}, "CARN")
    assert entries["SwinIR-light"].missing([large, carn]) == [2, 3, 4]
    assert entries["SwinIR-light"].missing([light]) == [2, 4] == entries["SwinIR"].missing([large])
    assert entries["CARN"].missing([carn, light]) == [3, 4]
    assert entries["CARN"].names([3, 4]) == ["carn.pth"] and entries["SPIN"].names([2]) == []
    assert entries["CARN"].downloads([2, 3]) == [] and entries["IDN"].downloads([3]) == ["idn-x3"]
    assert entries["SwinIR"].downloads([2, 3, 4]) == ["swinir-x2", "swinir-x4"]
    assert entries["LatticeNet"].names([2, 4]) == ["LatticeNet_x2.pt", "LatticeNet_x4.pt"]
