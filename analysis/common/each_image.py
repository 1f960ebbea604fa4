"""Work on every image of a folder, one by one: shared among ranks, resumed where it was stopped, and no image that
cannot be used costs the others.
"""

import hashlib
import json
import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from promptsr.data.pairs import PairPaths
from promptsr.imaging import Header, inspect
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import digest, replacing
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.sr_model import SRModel

SMALLER = "choose a smaller patch, or larger images"
"""Hint where the size is that of a patch."""
Record = dict[str, Any]
"""Result of an image: plain values and tensors."""


@dataclass(frozen=True)
class ImageStep:
    """Progress of the work on a folder of images."""

    image: str
    done: int
    """Images finished by this rank or in an earlier run."""
    total: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Images that could not be used, as far as is known, and why."""
    model: str = ""
    """At work on this image; empty before the first one."""
    progress: Progress | None = None
    """Progress of this model; None at its beginning."""


Tell = Callable[..., ImageStep]
"""Makes the step of a model and its progress."""
Work = Callable[[Path, Path | None, Tell], Generator[ImageStep, None, Record]]
"""Makes the record of an HR image and its LR image, if there is a file of that."""


@dataclass(frozen=True)
class ImageLog:
    """The files `<key>.pt` of a folder, each the record of an image, from which a stopped run goes on."""

    folder: Path

    def read(self, key: str) -> Record | None:
        """Return a record, also one of another rank or an earlier run; None if it is not there, or damaged."""
        path = self.folder / f"{key}.pt"
        if not path.exists():
            return None
        try:
            record: Record = torch.load(path, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):  # such as after a power cut
            return None
        return record

    def add(self, key: str, record: Record) -> None:
        """Write a record.

        Raises:
            UserError: the folder cannot be written.
        """
        with replacing(self.folder / f"{key}.pt") as temporary:
            torch.save(record, temporary)


def plan_of(models: Sequence[SRModel], **settings: Any) -> str:
    """Return a hash of all that a record depends on besides the image: models, their names, and settings."""
    networks = [(model.name, model.scale, fingerprint(model.network)) for model in models]
    return _hash(networks, settings)


def check_input_size(path: Path, header: Header, scale: int, least: int, hint: str = "leave it out") -> None:
    """Check that an image makes an input of this many pixels a side at least.

    Args:
        path: its file.
        header: of the file.
        scale: by which it is shrunk; 1 if it is the input itself.
        least: shorter side, input pixels.
        hint: what to do otherwise.

    Raises:
        UserError: it is smaller.
    """
    height, width = header.height // scale, header.width // scale
    if min(height, width) < least:
        raise UserError(f"{path.name} makes an input of {width} x {height}, less than {least} pixels: {hint}.")


def for_each_image(
    pairs: Sequence[PairPaths],
    check: Callable[[Path, Header], object],
    work: Work,
    *,
    plan: str,
    left_out: Mapping[str, str],
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
    trim: Callable[[Mapping[int, Record]], object] = lambda found: None,
) -> Generator[ImageStep, None, tuple[dict[int, Record], dict[str, str]]]:
    """Make the record of every image that can be used; closing the generator stops the work.

    All headers are checked before the work begins. Ranks take turns, so that neither their number nor a stop and
    resumption changes a record.

    Args:
        pairs: HR images and their LR images, see `promptsr.data.pairs.find_pairs`.
        check: raises a `UserError` for an HR image that cannot be used, by its header.
        work: makes the record of an image.
        plan: of `plan_of`.
        left_out: images that are no pairs, by name, with the reasons.
        log: keeps every record at once. Those in it are reused if plan, file names and contents are the same.
        ranks: the processes that share the work; each returns all records.
        trim: drops what is not needed any more from the records found up to now, by index.

    Returns:
        The records by index, in order; and the images that were left out, by name, with the reasons.

    Raises:
        ConfigError: by `work`: a setting that is impossible for every image.
        UserError: no image can be used, or the log cannot be written.
    """
    found: dict[int, Record] = {}
    reasons = dict(left_out)
    keys: dict[int, str] = {}
    for i, (hr, lr) in enumerate(pairs):
        try:
            check(hr, inspect(hr))
            keys[i] = _hash(plan, hr.name, digest(hr), lr and digest(lr)) if log else ""
        except UserError as error:
            reasons[hr.name] = str(error)
            continue
        record = log.read(keys[i]) if log else None
        if record is not None:
            found[i] = record
    _check_any(keys, reasons)
    trim(found)
    ranks.barrier()  # all have read the same before anyone writes more

    mine = [i for i in keys if i not in found][ranks.rank :: ranks.world]
    total = len(pairs) - len(keys) + len(found) + len(mine)
    for done, i in enumerate(mine, start=total - len(mine)):
        hr, lr = pairs[i]
        at = partial(ImageStep, hr.name, done, total, reasons)
        yield at()
        try:
            found[i] = yield from work(hr, lr, at)
        except ConfigError:
            raise
        except UserError as error:
            reasons[hr.name] = str(error)
            continue
        trim(found)
        if log:
            log.add(keys[i], found[i])
    made = {i: found[i] for i in mine if i in found}
    for records, others in ranks.gather((made, reasons)):
        found.update(records)
        reasons.update(others)
    trim(found)
    _check_any(found, reasons)
    return {i: found[i] for i in sorted(found)}, dict(sorted(reasons.items()))


def _check_any(usable: Mapping[int, object], left_out: Mapping[str, str]) -> None:
    if not usable:
        raise UserError(f"No image could be studied: {min(left_out.items(), default=('', 'there is none.'))[1]}")


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
