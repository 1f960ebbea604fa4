"""Results of a page, the latest ones and those that are pinned: any of them, or two of them, can be shown again."""

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakSet, finalize

from promptsr.imaging import decode
from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions.pictures import thumbnail
from workbench.sessions.upscale import Shown

_THUMBNAIL = (192, 144)
"""Pixels of the largest picture that stands for a result."""
_GONE = "This result is no longer kept: upscale the photograph again."
_owned: WeakSet[Shown] = WeakSet()
"""Results whose files are deleted with them."""


@dataclass(frozen=True)
class Entry:
    """A result."""

    number: int
    """From 1, in the order of their making."""
    shown: Shown
    thumbnail: str
    """Address of a picture of it, which holds the picture itself."""
    pinned: bool = False

    def fits(self, other: "Entry") -> bool:
        """Return whether both are of the same photograph and size."""
        return self.shown.photo == other.shown.photo and self.shown.size == other.shown.size


@dataclass(frozen=True)
class History:
    """Results of a page, oldest first. Its methods return another one, within `Limits.results` and
    `Limits.results_pixels`: the oldest that are neither pinned nor shown are dropped."""

    entries: tuple[Entry, ...] = ()
    after: int = 0
    """Number of the result that is shown."""
    before: int = 0
    """Number of the one beside it; 0 for the comparison that was made with it."""

    def add(self, shown: Shown) -> "History":
        """Add a result, which is shown from now on; its files are deleted when nothing refers to it any more."""
        known = next((each for each in self.entries if each.shown is shown), None)
        if known is not None:
            return replace(self, after=known.number, before=0)
        if shown not in _owned:
            _owned.add(shown)
            finalize(shown, _delete, shown.result.parent, shown.looks, shown.downloads.values()).atexit = False
        number = max((each.number for each in self.entries), default=0) + 1
        entry = Entry(number, shown, thumbnail(decode(shown.small), *_THUMBNAIL))
        return History((*self.entries, entry), after=number)._trimmed()

    @property
    def shown(self) -> Shown:
        """The result that is shown, beside its own comparison or beside another result."""
        shown = self.find(self.after).shown
        if not self.before:
            return shown
        other = self.find(self.before).shown
        files, names = (shown.small, other.result, shown.result), (other.models[1], shown.models[1])
        whole = {path: each for path, each in {**shown.whole, **other.whole}.items() if path in files}
        return replace(shown, models=names, compared=other.result, whole=whole)

    def find(self, number: int) -> Entry:
        """Return the result of this number.

        Raises:
            UserError: there is none, or none any more.
        """
        found = next((each for each in self.entries if each.number == number), None)
        if found is None:
            raise UserError(_GONE)
        return found

    def choose(self, number: int) -> "History":
        """Show a result beside its own comparison.

        Raises:
            UserError: as `find`, or its files are gone: they live for a day.
        """
        return replace(self, after=self._there(number).number, before=0)

    def beside(self, number: int) -> "History":
        """Show a result before the one that is shown.

        Raises:
            UserError: as `choose`, or they are not of the same photograph and size.
        """
        other, shown = self._there(number), self.find(self.after)
        if not other.fits(shown):
            raise UserError(
                "Only results of the same photograph and size go into one slider: choose one of "
                "{} with {} x {} pixels.".format(shown.shown.photo.name, *shown.shown.size)
            )
        return replace(self, before=0 if other is shown else number)

    def pin(self, number: int) -> "History":
        """Pin a result, or unpin it.

        Raises:
            UserError: as `find`, or no more can be pinned.
        """
        entry = self.find(number)
        entries = tuple(replace(each, pinned=not each.pinned) if each is entry else each for each in self.entries)
        pinned = [each for each in entries if each.pinned]
        if not entry.pinned and not _within(pinned, in_force().results // 2, in_force().results_pixels // 2):
            raise UserError("No more results of this size can be pinned: unpin one first, or download it.")
        return replace(self, entries=entries)._trimmed()

    def drop(self, number: int) -> "History":
        """Drop a result.

        Raises:
            UserError: as `find`, or it is shown.
        """
        entry = self.find(number)
        if number in (self.after, self.before):
            raise UserError("This result is in the slider: choose another one first.")
        return replace(self, entries=tuple(each for each in self.entries if each is not entry))

    def rows(self) -> list[dict[str, Any]]:
        """Return what a strip of the results says of each, the latest first."""
        after = next((each for each in self.entries if each.number == self.after), None)
        return [
            {
                "number": each.number,
                "name": each.shown.title,
                "photo": each.shown.photo.stem,
                "size": "{} × {}".format(*each.shown.size),
                "thumbnail": each.thumbnail,
                "pinned": each.pinned,
                "side": "after" if each is after else "before" if each.number == self.before else "",
                "fits": after is not None and each.fits(after),
            }
            for each in reversed(self.entries)
        ]

    def _there(self, number: int) -> Entry:
        entry = self.find(number)
        if not (entry.shown.photo.exists() and entry.shown.result.exists()):
            raise UserError(_GONE)
        return entry

    def _trimmed(self) -> "History":
        kept = list(self.entries)
        for each in self.entries:
            if _within(kept, in_force().results, in_force().results_pixels):
                break
            if not each.pinned and each.number not in (self.after, self.before):
                kept.remove(each)
        return replace(self, entries=tuple(kept))


def _within(entries: list[Entry], count: int, pixels: int) -> bool:
    return len(entries) <= count and sum(math.prod(each.shown.size) for each in entries) <= pixels


def _delete(folder: Path, looks: Iterable[Path], downloads: Iterable[Path]) -> None:
    for each in (folder, *looks, *(file.parent for file in downloads)):
        shutil.rmtree(each, ignore_errors=True)
