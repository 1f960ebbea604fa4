"""Archives: images of a ZIP that somebody sent, and data that was downloaded; nothing is written elsewhere."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from hypothesis import strategies as st

from promptsr.downloads.catalogue import Unpacking
from promptsr.downloads.unpack import unpack as unpack_download
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from tests.fuzz.mutations import damaged
from tests.fuzz.target import Target
from workbench.server.limits import enforce, in_force
from workbench.sessions import archives

_LIMIT = 2**16
_METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
_COMPRESSIONS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]
_UNPACKING = Unpacking({r"(.*\.png)": r"HR/\1"}, _LIMIT)

_PARTS = st.sampled_from(["..", "", "a", "C:", "/etc", "a" * 300, "\U00010330" * 80, "nul", ".", "a\\b", "~", "\n"])
_NAMES = st.lists(_PARTS | st.text(max_size=8), min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".png")
_CONTENTS = st.binary(max_size=50) | st.sampled_from([1, _LIMIT - 1, _LIMIT, _LIMIT + 1, 2**20]).map(bytes)
_ENTRIES = st.lists(st.tuples(_NAMES, _CONTENTS), min_size=1, max_size=4)


def _zip(entries: list[tuple[str, bytes]], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in entries:
            file.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def _tar(entries: list[tuple[str, bytes]], compress: Callable[[bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return compress(buffer.getvalue())


_SOUND = [("set/church/a.png", b"one" * 9), ("set/church/b.png", b"two"), ("set/gas pump/ü.png", bytes(300))]


@cache
def _zips() -> list[bytes]:
    return [_zip(_SOUND, method) for method in _METHODS]


@cache
def _tars() -> list[bytes]:
    return [_tar(_SOUND, compress) for compress in _COMPRESSIONS]


def _zip_files() -> st.SearchStrategy[bytes]:
    safe = _ENTRIES.filter(lambda entries: all(name.isprintable() for name, _ in entries))
    return damaged(_zips()) | st.builds(_zip, safe, st.sampled_from(_METHODS))


def _tar_files() -> st.SearchStrategy[bytes]:
    ascii_names = st.lists(st.tuples(_NAMES.map(lambda name: name.encode("ascii", "replace").decode()), _CONTENTS))
    return damaged(_tars()) | st.builds(_tar, ascii_names, st.sampled_from(_COMPRESSIONS[:2]))


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder / "deep", ignore_errors=True)
    (folder / "deep" / "er").mkdir(parents=True)
    return folder / "deep" / "er"


def _written(folder: Path, out: Path, archive: Path) -> int:
    """Bytes of the files that are new; all of them must lie in `out`."""
    new = [path for path in folder.rglob("*") if path != archive and not path.is_dir()]
    assert all(out in path.parents and not path.is_symlink() for path in new), new
    return sum(path.stat().st_size for path in new)


def check_images(data: bytes, folder: Path) -> None:
    """A ZIP of category folders, by the page."""
    inner, archive = _emptied(folder), folder / "sent.zip"
    archive.write_bytes(data)
    before = in_force()
    enforce(replace(before, archive_bytes=_LIMIT))
    try:
        archives.unpack(archive, inner / "out")
    finally:
        enforce(before)
        assert _written(folder, inner / "out", archive) <= _LIMIT
    assert _written(folder, inner / "out", archive) > 0 or any((inner / "out").rglob("*.png"))


def _check_download(data: bytes, folder: Path, suffix: str) -> None:
    """What does not come out whole leaves nothing behind."""
    inner, archive = _emptied(folder), folder / f"fetched{suffix}"
    archive.write_bytes(data)
    try:
        finish(unpack_download(archive, _UNPACKING, inner / "out"))
    except UserError:
        assert not any(inner.iterdir())
        raise
    assert _written(folder, inner / "out" / "HR", archive) <= _LIMIT


TARGETS = [
    Target("zip-of-images", st.deferred(_zip_files), check_images, UserError),
    Target("zip-download", st.deferred(_zip_files), partial(_check_download, suffix=".zip"), UserError),
    Target("tar-download", st.deferred(_tar_files), partial(_check_download, suffix=".tar"), UserError),
]
