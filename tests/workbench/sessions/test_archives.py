"""A ZIP file of category folders: images come out, and nothing else happens."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from promptsr.imaging import decode
from promptsr.support.errors import UserError
from workbench.server import limits
from workbench.server.limits import Limits
from workbench.sessions.archives import unpack


def image(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((5, 7, 3), value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_images_come_out_below_the_name_of_their_folder(tmp_path: Path) -> None:
    entries = {
        "set/church/b.PNG": image(10),
        "set/church/a.png": image(20),
        "set/gas pump/a.png": image(30),
        "set/readme.txt": b"words",
        "loose.png": image(40),
        "__MACOSX/church/a.png": b"rubbish",
        "set/church/.hidden.png": b"rubbish",
    }
    folder = unpack(zipped(tmp_path / "set.zip", entries), tmp_path / "out")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [path.parts[0] for path in files] == ["church", "church", "gas pump"]
    assert [decode(folder / path).color[0, 0, 0] for path in files] == [10, 20, 30]


@pytest.mark.parametrize("name", ["../../evil/a.png", "/tmp/evil/a.png", "..\\evil/../a.png", "a/../../b.png"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "evil.zip", {name: image(1)})
    before = set(tmp_path.rglob("*"))
    with suppress(UserError):  # one whose only images have such names holds none
        unpack(archive, tmp_path / "deep" / "out")
    new = set(tmp_path.rglob("*")) - before - {tmp_path / "deep"}
    assert all((tmp_path / "deep" / "out") in (path, *path.parents) for path in new)
    assert not Path("/tmp/evil").exists()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12), min_size=2, max_size=4))
def test_any_names_stay_within_the_folder(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.mktemp("zip")  # the names without NUL, where `zipfile` ends a name that it writes
    try:
        unpack(zipped(root / "a.zip", {"/".join(parts) + ".png": image(1)}), root / "out")
    except UserError:
        return
    [written] = [path for path in root.rglob("*") if path.is_file() and path.name != "a.zip"]
    assert written.parents[1] == root / "out"


def test_what_cannot_be_taken_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"no\.zip cannot be unpacked .*send a plain ZIP file"):
        unpack(tmp_path / "no.zip", tmp_path / "out")
    with pytest.raises(UserError, match="holds no folders of images"):
        unpack(zipped(tmp_path / "flat.zip", {"a.png": image(1), "church/a.txt": b""}), tmp_path / "out")
    damaged = bytearray(zipped(tmp_path / "bad.zip", {"church/a.png": image(1) + bytes(4000)}).read_bytes())
    damaged[60:90] = b"\xff" * 30
    (tmp_path / "bad.zip").write_bytes(damaged)
    with pytest.raises(UserError, match=r"bad\.zip cannot be unpacked"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    many = zipped(tmp_path / "many.zip", {f"church/{n}.png": image(n) for n in range(4)})
    monkeypatch.setattr(limits, "_in_force", Limits(archive_images=3))
    with pytest.raises(UserError, match=r"holds 4 images, and the page takes 3"):
        unpack(many, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w", method) as archive:
        archive.writestr("church/a.png", image(1))
    with pytest.raises(UserError, match=r"compressed by an unusual method\): send a plain ZIP file"):
        unpack(tmp_path / "odd.zip", tmp_path / "out")


def test_long_names_are_cut_by_their_bytes(tmp_path: Path) -> None:
    long = 80 * "\U00010330"  # four bytes each
    folder = unpack(zipped(tmp_path / "long.zip", {f"{long}/{long}.png": image(7)}), tmp_path / "out")
    [path] = folder.rglob("*.png")
    assert decode(path).color[0, 0, 0] == 7 and path.parent.name == 20 * "\U00010330"


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_in_force", Limits(archive_bytes=2**20))
    bomb = zipped(tmp_path / "bomb.zip", {"church/a.png": bytes(2**19), "church/b.png": bytes(2**24)})
    assert bomb.stat().st_size < 2**15
    with pytest.raises(UserError, match="take more than 1 MiB"):
        unpack(bomb, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.png")) <= 2**20
