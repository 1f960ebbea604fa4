"""A collection of prompts on disk: what it holds, which images are done, and why others were skipped.

A process can be killed at any moment: `plan.json` is written when all files are there, an image is marked as done when
its rows are written.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.anchors.image_folders import ImageSet
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing, write_text
from promptsr.zoo.fingerprint import fingerprint

_TO_DO, _DONE, _SKIPPED = range(3)


class CollectionStore:
    """The folder of a collection: `<variant>.npy` (rows x groups x C, float32), `done.npy` (for each image 0 to do, 1
    done, 2 skipped), `skipped/<index>.txt` and `plan.json`."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self.files = files

    def prepare(
        self,
        networks: Mapping[str, PromptSR],
        shapes: Mapping[str, tuple[int, int, int]],
        settings: dict[str, Any],
        images: ImageSet,
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        """Makes the files, all rows 0, or finds those of an earlier run of the same plan.

        Raises:
            UserError: the folder holds something else, cannot be written, or lies on a disk that is too full.
        """
        plan = {
            **settings,
            "images": len(sizes),
            "files": _digest(images, sizes),
            "variants": {name: fingerprint(network) for name, network in networks.items()},
        }
        path = self.folder / "plan.json"
        if path.exists():
            if _read_json(path) != plan:
                raise UserError(
                    f"{self.folder} holds the prompts of other images, networks or settings: choose another --out, or "
                    "delete that folder."
                )
            return
        with replacing(path) as temporary:  # makes the folder, and names the plan when all else is there
            needed = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
            if needed > shutil.disk_usage(self.folder).free:
                raise UserError(f"{self.folder} needs {needed / 1e9:.1f} GB: free some space, or choose another --out.")
            shutil.rmtree(self.folder / "skipped", ignore_errors=True)
            for name, shape in shapes.items():
                np.lib.format.open_memmap(self._rows(name), "w+", np.float32, shape)
            np.lib.format.open_memmap(self._flags, "w+", np.uint8, (len(sizes),))
            temporary.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")

    @property
    def done(self) -> np.ndarray:
        """For each image 0 to do, 1 done, 2 skipped; by all ranks up to now."""
        flags: np.ndarray = np.load(self._flags)
        return flags

    @property
    def finished(self) -> int:
        """Images done or skipped."""
        return int(np.count_nonzero(self.done))

    def write(self, variant: str, rows: Mapping[int, np.ndarray]) -> None:
        """Writes blocks of rows by where they begin, each n x groups x C."""
        # Mapped for a moment only: pages that stay mapped count as this process's memory.
        file = np.lib.format.open_memmap(self._rows(variant), "r+")
        for start, block in rows.items():
            file[start : start + len(block)] = block
        file.flush()

    def read(self, variant: str) -> np.ndarray:
        """All rows of a variant, rows x groups x C, memory-mapped."""
        return np.lib.format.open_memmap(self._rows(variant), "r")

    def finish(self, indices: list[int]) -> None:
        """Marks images as done, whose rows are written."""
        self._mark(indices, _DONE)

    def skip(self, index: int, reason: str) -> None:
        """Marks an image as of no use."""
        write_text(self.folder / "skipped" / f"{index}.txt", reason)
        self._mark([index], _SKIPPED)

    def skipped(self) -> dict[str, str]:
        """The images of no use, and why."""
        return {
            self.files[i]: (self.folder / "skipped" / f"{i}.txt").read_text(encoding="utf-8")
            for i in np.flatnonzero(self.done == _SKIPPED).tolist()
        }

    def _mark(self, indices: list[int], flag: int) -> None:
        flags = np.lib.format.open_memmap(self._flags, "r+")
        flags[indices] = flag
        flags.flush()

    def _rows(self, variant: str) -> Path:
        return self.folder / f"{variant}.npy"

    @property
    def _flags(self) -> Path:
        return self.folder / "done.npy"


def _digest(images: ImageSet, sizes: Sequence[tuple[int, int]]) -> str:
    """SHA-256 of the names of the images, of their LR sizes, and of the bytes that their files have."""
    entries = [
        (name, *size, images.path(i).stat().st_size)
        for i, (name, size) in enumerate(zip(images.files, sizes, strict=True))
    ]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
