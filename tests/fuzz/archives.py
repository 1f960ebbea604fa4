"""Archives: images of an uploaded ZIP, and downloaded data; nothing is written elsewhere."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
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
_IMAGE = b"P5 1 1 255\n"
"""Beginning of an image, whatever its name."""
_SIZES = st.sampled_from([12, _LIMIT - 1, _LIMIT, _LIMIT + 1, 2**20])
_CONTENTS = st.binary(max_size=50) | _SIZES.map(lambda size: _IMAGE.ljust(size, b"\0"))
_SOUND = [("set/church/a.png", _IMAGE + b"1"), ("set/church/b.png", _IMAGE + b"2"), ("set/gas pump/ü.png", _IMAGE * 30)]


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


def _zip_files() -> st.SearchStrategy[bytes]:
    entries = st.lists(st.tuples(_NAMES.filter(str.isprintable), _CONTENTS), min_size=1, max_size=4)
    return damaged([_zip(_SOUND, method) for method in _METHODS]) | st.builds(_zip, entries, st.sampled_from(_METHODS))


def _tar_files() -> st.SearchStrategy[bytes]:
    entries = st.lists(st.tuples(_NAMES.map(lambda name: name.encode("ascii", "replace").decode()), _CONTENTS))
    made = st.builds(_tar, entries, st.sampled_from(_COMPRESSIONS[:2]))
    return damaged([_tar(_SOUND, compress) for compress in _COMPRESSIONS]) | made


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder / "deep", ignore_errors=True)
    (folder / "deep" / "er").mkdir(parents=True)
    return folder / "deep" / "er"


def _check_written(folder: Path, out: Path, archive: Path) -> None:
    """All new files lie in `out`, and are no larger than the limit."""
    new = [path for path in folder.rglob("*") if path != archive and not path.is_dir()]
    assert all(out in path.parents and not path.is_symlink() for path in new), new
    assert sum(path.stat().st_size for path in new) <= _LIMIT


def check_images(archive: Path, folder: Path) -> None:
    """A ZIP of category folders, uploaded to the page."""
    out = _emptied(folder) / "out"
    before = in_force()
    enforce(replace(before, archive_bytes=_LIMIT))
    try:
        archives.unpack(archive, out)
    finally:
        enforce(before)
        _check_written(folder, out, archive)
    assert any(out.rglob("*.png"))


def check_download(archive: Path, folder: Path) -> None:
    """An archive that is refused leaves nothing behind."""
    inner = _emptied(folder)
    try:
        finish(unpack_download(archive, _UNPACKING, inner / "out"))
    except UserError:
        assert not any(inner.iterdir())
        raise
    _check_written(folder, inner / "out" / "HR", archive)


TARGETS = [
    Target("zip-of-images", _zip_files, check_images, UserError, suffix=".zip"),
    Target("zip-download", _zip_files, check_download, UserError, suffix=".zip"),
    Target("tar-download", _tar_files, check_download, UserError, suffix=".tar"),
]
