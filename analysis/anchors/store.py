"""A collection of prompts on disk: its contents, the images that are done, and the reasons why others were skipped.

A process can be killed at any moment: `plan.json` is written when all files are there, an image is marked as done when
its rows are written.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.anchors.image_folders import ImageSet
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing, write_text
from promptsr.zoo.fingerprint import fingerprint

_DONE, _SKIPPED = 1, 2


class CollectionStore:
    """The folder of a collection: `<variant>.npy` (rows x groups x C, float32), `done.npy` (for each image 0 to do, 1
    done, 2 skipped), `skipped/<index>.txt` and `plan.json`."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder, self.files, self._flags = folder, files, folder / "done.npy"

    def prepare(
        self,
        networks: Mapping[str, PromptSR],
        shapes: Mapping[str, tuple[int, int, int]],
        settings: Mapping[str, int | None],
        images: ImageSet,
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        """Make the files, all rows 0, or find those of an earlier run of the same plan.

        Raises:
            UserError: the folder holds something else, cannot be written, or lies on a disk that is too full.
        """
        entries = [(images.files[i], *size, images.path(i).stat().st_size) for i, size in enumerate(sizes)]
        plan = {
            **settings,
            "images": len(sizes),
            "files": hashlib.sha256(json.dumps(entries).encode()).hexdigest(),  # names, LR sizes, and bytes
            "variants": {name: fingerprint(network) for name, network in networks.items()},
        }
        text = (json.dumps(plan, indent=2) + "\n").encode()
        path = self.folder / "plan.json"
        if path.exists():
            if path.read_bytes() != text:
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
                np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", np.float32, shape)
            np.lib.format.open_memmap(self._flags, "w+", np.uint8, (len(sizes),))
            temporary.write_bytes(text)

    @property
    def done(self) -> np.ndarray:
        """For each image 0 to do, 1 done, 2 skipped, by all ranks up to now."""
        flags: np.ndarray = np.load(self._flags)
        return flags

    def write(self, variant: str, rows: Mapping[int, np.ndarray]) -> None:
        """Write blocks of rows by where they begin, each n x groups x C."""
        # Mapped for a moment only: pages that stay mapped count as this process's memory.
        file = np.lib.format.open_memmap(self.folder / f"{variant}.npy", "r+")
        for start, block in rows.items():
            file[start : start + len(block)] = block
        file.flush()

    def read(self, variant: str) -> np.ndarray:
        """Return all rows of a variant, rows x groups x C, memory-mapped."""
        return np.lib.format.open_memmap(self.folder / f"{variant}.npy", "r")

    def finish(self, indices: list[int], flag: int = _DONE) -> None:
        """Mark images as done, after their rows are written."""
        flags = np.lib.format.open_memmap(self._flags, "r+")
        flags[indices] = flag
        flags.flush()

    def skip(self, index: int, reason: str) -> None:
        """Mark an image as unusable."""
        write_text(self.folder / "skipped" / f"{index}.txt", reason)
        self.finish([index], _SKIPPED)

    def skipped(self) -> dict[str, str]:
        """Return the unusable images, and why."""
        return {
            self.files[i]: (self.folder / "skipped" / f"{i}.txt").read_text(encoding="utf-8")
            for i in np.flatnonzero(self.done == _SKIPPED).tolist()
        }
