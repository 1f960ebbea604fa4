"""Cache of decoded images: pixels in memory-mapped files, shared by every process and every later run.

An image has a folder in the cache, named by its path, size and time of change, with `hr.npy` (H x W x 3, uint8),
`texture.npy` (see `promptsr.data.texture`) and an `lr-xS.npy` for every scale that was asked for; with LR images of
one's own an `lr-xS-NAME.npy` for each, named as a folder would be. Files are written all or nothing; a folder can be
removed at any time when no run is on.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path
from threading import Lock

import numpy as np
from torch import Tensor

from promptsr.data import load_hr, load_pair, make_lr
from promptsr.data.pairs import PairPaths
from promptsr.data.texture import texture
from promptsr.imaging.picture import to_color
from promptsr.imaging.resize import crop_to_multiple
from promptsr.support.errors import ImageError, UserError
from promptsr.support.files import replacing

_FORMAT = "2"  # changes when the same image would be cached otherwise
# NumPy reads a header by Python's own parser, which in Python 3.11 fails now and then when two threads use it.
_ONE_HEADER_AT_A_TIME = Lock()


class MappedArray:
    """A read-only array in a `.npy` file, mapped into memory; another process maps the file anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _ONE_HEADER_AT_A_TIME:
            self.array: np.ndarray = np.load(path, mmap_mode="r")

    def __reduce__(self) -> tuple[type["MappedArray"], tuple[Path]]:
        return MappedArray, (self.path,)


@dataclass(frozen=True)
class CachedImage:
    """An image as a training reads it."""

    name: str
    """Name of the file, without its folder."""
    size: int
    """Size of the file in bytes."""
    hr: MappedArray
    """H x W x 3, uint8; rows and columns beyond the last whole LR pixel are still there."""
    lr: MappedArray
    """h x w x 3, uint8, with h = H // s and w = W // s."""
    texture: np.ndarray
    """See `promptsr.data.texture.texture`."""
    lr_file: tuple[str, int] | None = None
    """Name and size in bytes of the file of the LR image; None: it is the bicubic one."""


@dataclass(frozen=True)
class ImagesRead:
    """Progress of reading images."""

    done: int
    total: int


@dataclass(frozen=True)
class ReadImages:
    """Images that could be read, in the order of the paths."""

    images: list[CachedImage]
    damaged: tuple[str, ...]
    """A sentence for every file that was left out, naming it."""


def read_images(pairs: Sequence[PairPaths], scale: int, cache: Path) -> Generator[ImagesRead, None, ReadImages]:
    """Open images through the cache, decoding those that are not in it yet, several at a time.

    A file that is damaged, unreadable or gone is named and left out, and so is a pair of sizes that do not fit.

    Args:
        pairs: of HR images and their LR images, see `promptsr.data.pairs.find_pairs`; for None the LR image is that of
            `promptsr.data.make_lr`.
        scale: s.
        cache: folder of the cache.

    Raises:
        UserError: the cache cannot be written, for example because the disk is full.
    """
    images: list[CachedImage] = []
    damaged: list[str] = []

    def read(pair: PairPaths) -> CachedImage | str:
        try:
            return _open(*pair, scale, cache)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for done, result in enumerate(pool.map(read, pairs), 1):
                if isinstance(result, str):
                    damaged.append(result)
                else:
                    images.append(result)
                yield ImagesRead(done, len(pairs))
        finally:
            pool.shutdown(cancel_futures=True)
    return ReadImages(images, tuple(damaged))


def _open(path: Path, lr_path: Path | None, scale: int, cache: Path) -> CachedImage:
    key, size = _identify(path)
    folder = cache / key

    @cached  # decoded at most once, however many of the files are missing
    def pixels() -> Tensor:
        return load_hr(path, 1)

    hr = _mapped(folder / "hr.npy", lambda: to_color(pixels()))
    lr_file = None
    if lr_path is None:
        lr = _mapped(folder / f"lr-x{scale}.npy", lambda: to_color(_lr(pixels(), scale)))
    else:
        lr_key, lr_size = _identify(lr_path)
        lr_file = lr_path.name, lr_size
        lr = _mapped(folder / f"lr-x{scale}-{lr_key}.npy", lambda: to_color(load_pair(path, scale, lr_path)[1]))
    means = _mapped(folder / "texture.npy", lambda: texture(pixels()))
    return CachedImage(path.name, size, hr, lr, np.array(means.array), lr_file)


def _identify(path: Path) -> tuple[str, int]:
    """Return a name for a file as it is now, and its size in bytes."""
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError(f"{path} is not there any more.") from error
    key = f"{_FORMAT}\0{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(key.encode()).hexdigest()[:24], status.st_size


def _mapped(path: Path, make: Callable[[], np.ndarray]) -> MappedArray:
    try:
        return MappedArray(path)
    except (OSError, ValueError):  # not there yet, or cut short
        made = make()
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, made)
    except UserError as error:
        raise UserError(f"{error} The decoded images need space: name another folder by cache=FOLDER.") from error
    return MappedArray(path)


def _lr(hr: Tensor, scale: int) -> Tensor:
    cropped = crop_to_multiple(hr, scale)
    return make_lr(cropped, scale) if 0 not in cropped.shape else cropped
