"""The list of sources is well formed and agrees with copies of the files."""

import hashlib
from pathlib import Path

import pytest

from promptsr.downloads import load_catalogue
from promptsr.downloads.catalogue import SOURCES
from promptsr.support.errors import ConfigError

CATALOGUE = load_catalogue()
GOOD = """
[thing]
title = "A thing"
licence = "CC0"
page = "https://example.org/"
evidence = "measured"
files = [{ url = "https://example.org/thing.zip", size = 5, sha256 = "SHA" }]
unpack = { members = { 'a' = 'b' }, limit = 10 }
""".replace("SHA", "0" * 64)


@pytest.fixture(autouse=True)
def no_other_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCES, raising=False)


def test_every_promised_name_is_there() -> None:
    scales = {"imdn": "234", "smfanet-plus": "234", "hpinet-m": "234", "craft": "4", "idn": "234", "latticenet": "234"}
    scales |= {"swinir-light": "24", "swinir": "24"}
    peers = [f"{network}-x{scale}" for network, known in scales.items() for scale in known]
    sets = ["div2k", "div2k-valid", "set5", "set14", "bsd100", "urban100", "kodak24", "manga109"]
    assert list(CATALOGUE) == [*sets, *peers]
    assert [name for name, entry in CATALOGUE.items() if entry.by_hand] == ["manga109"]


def test_every_entry_has_safe_and_consistent_addresses() -> None:
    files = [file for entry in CATALOGUE.values() for file in entry.files]
    assert all(file.url.startswith("https://") for file in files)
    assert len({file.url for file in files}) == len(set(files))  # one address is one file
    for entry in CATALOGUE.values():
        assert len({file.name for file in entry.files}) == len(entry.files)
        assert entry.page.startswith(("https://", "http://"))


@pytest.mark.parametrize(
    ("name", "member", "target"),
    [
        ("div2k", "DIV2K_train_HR/0001.png", "0001.png"),
        ("div2k", "DIV2K_train_HR/", None),
        ("set5", "benchmark/Set5/HR/baby.png", "HR/baby.png"),
        ("set5", "benchmark/Set5/LR_bicubic/X3/babyx3.png", "LR/x3/baby.png"),
        ("set5", "benchmark/Set5/LR_bicubic/X3/babyx2.png", None),
        ("set5", "benchmark/Set14/HR/ppt3.png", None),
        ("set14", "benchmark/Set14/LR_bicubic/X2/ppt3x2.png", "LR/x2/ppt3.png"),
        ("bsd100", "benchmark/B100/HR/101085.png", "HR/101085.png"),
        ("urban100", "benchmark/Urban100/LR_bicubic/X4/img001x4.png", "LR/x4/img001.png"),
        ("urban100", "benchmark/Urban100/HR/._img001.png", None),
    ],
)
def test_archives_unpack_to_what_evaluate_takes(name: str, member: str, target: str | None) -> None:
    unpack = CATALOGUE[name].unpack
    assert unpack is not None and unpack.target(member) == target


@pytest.mark.parametrize(
    "name", [name for name, entry in CATALOGUE.items() if name == "kodak24" or entry.title.startswith("weights")]
)
def test_sizes_and_checksums_are_those_of_genuine_copies(shared_data: Path, name: str) -> None:
    network = name.partition("-")[0]
    file = "CRAFT-x4.pth" if name == "craft-x4" else CATALOGUE[name].files[0].name
    paths = [shared_data / "peers" / network / file]
    if name == "kodak24":
        paths = sorted((shared_data / "data" / "bench" / "Kodak24").glob("*.png"))
    if not all(path.exists() for path in paths):
        pytest.skip(f"no copies of {name} among the shared files")
    contents = [path.read_bytes() for path in paths]
    found = [(len(content), hashlib.sha256(content).hexdigest()) for content in contents]
    assert found == [(file.size, file.sha256) for file in CATALOGUE[name].files]


def test_another_list_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.toml").write_text(GOOD)
    monkeypatch.setenv(SOURCES, str(tmp_path / "sources.toml"))
    [entry] = load_catalogue().values()
    assert (entry.name, entry.size, entry.files[0].name) == ("thing", 5, "thing.zip")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("title", "titel", "The setting thing.title is missing"),
        ("size", "bytes", "size is missing"),
        ("limit = 10", "limit = 10, mode = 1", "mode"),
        ("size = 5", "size = 0", "size"),
        ("size = 5", "size = true", "size"),
        ("00000", "000", "sha256"),
        ("CC0", " ", "licence"),
        ("https://example.org/thing.zip", "ftp://example.org/thing.zip", "url"),
        ("https://example.org/thing.zip", "https://example.org/..", "not the address of a file"),
        ("https://example.org/thing.zip", "https://example.org/a%2Fb", "not the address of a file"),
        ("[thing]", "['../thing']", "name"),
        ("limit = 10", "limit = 0", "limit"),
        ("'a' = 'b'", "", "members"),
        ("'a' = 'b'", "'(' = 'b'", "unterminated"),
        ("title = ", "by_hand = 'no'\ntitle = ", "one of files and by_hand"),
        ("limit = 10 }", "limit = 10", "line"),
        (GOOD, "thing = 1", "mapping"),
    ],
)
def test_wrong_entries_are_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in GOOD
    path = tmp_path / "sources.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=rf"sources\.toml is not a valid list .*{why}.*or unset {SOURCES}"):
        load_catalogue(path)


def test_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_catalogue(tmp_path / "none.toml")
