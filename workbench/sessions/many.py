"""Many photographs that are upscaled alike: which become which files, what is finished, and why others failed."""

import zipfile
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from promptsr.cli.upscale_plan import Job, Plan, Wish, plan
from promptsr.imaging import Header, encode
from promptsr.inference.upscaler import Progress, Upscaler
from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.pictures import new_file, new_folder, thumbnail
from workbench.sessions.uploads import about_frames, read_photograph
from workbench.sessions.upscale import UpscaleSettings, suffix_of

Key = TypeVar("Key")
Kept = TypeVar("Kept")
_KEPT = 2000
"""Outcomes and small pictures that are remembered, the latest ones."""
_THUMBNAIL = 96, 72
"""Sides of the largest small picture in pixels."""


@dataclass(frozen=True)
class Outcome:
    """Outcome for a photograph."""

    file: Path | None = None
    """Its result; None if it failed."""
    size: str = ""
    """Size of the result, in pixels."""
    notes: tuple[str, ...] = ()
    """Why it failed, or what the result lacks, in sentences."""


_thumbnails: OrderedDict[Path, str | None] = OrderedDict()
"""Addresses of small pictures of photographs; None for those that cannot be read."""
_at_work: set[tuple[Any, ...]] = set()
"""Keys of photographs that are being upscaled."""
_outcomes: OrderedDict[tuple[Any, ...], Outcome] = OrderedDict()
"""By key, which is photograph, suffix of the result and settings: what is finished stays so in other questions."""


@dataclass(frozen=True)
class Entry:
    """A photograph of a question."""

    photo: Path
    name: str = ""
    """Name of its result; empty if it cannot have one."""
    header: Header | None = None
    note: str | None = None
    """Why it has another name or format, or none."""

    @property
    def pixels(self) -> int:
        """Pixels of the photograph; 0 if it cannot be read."""
        return self.header.height * self.header.width if self.header else 0


@dataclass(frozen=True)
class Question:
    """Settings for many photographs.

    Raises:
        UserError: too many photographs, or there is no such model or format.
    """

    photos: Sequence[Path]
    model: str
    file_format: str
    quality: int
    settings: UpscaleSettings
    entries: Sequence[Entry] = field(init=False)
    """In the order of the photographs, each once."""

    def __post_init__(self) -> None:
        most, suffix, scale = in_force().photos, suffix_of(self.file_format), models.scale_of(self.model)
        photos = list(dict.fromkeys(self.photos))
        if len(photos) > most:
            raise UserError(f"Send up to {most} photographs, not {len(photos)}: the command line takes more.")

        def size_of(header: Header) -> tuple[int, int]:
            return self.settings.size.of(header.height, header.width, scale)

        # The names that the command gives to the results of these files, or of their first frames, in a folder.
        try:
            planned = plan(photos, Wish(f"{new_folder()}/", suffix, frame=0), size_of)
        except UserError as error:
            if len(photos) > 1:
                raise
            planned = Plan([], [(photo, str(error)) for photo in photos])
        found = {job.source: Entry(job.source, job.target.name, job.header, _note(job)) for job in planned.jobs}
        found |= {photo: Entry(photo, note=reason) for photo, reason in planned.failed}
        object.__setattr__(self, "entries", [found[photo] for photo in photos])

    def outcome(self, entry: Entry) -> Outcome | None:
        """Return what has become of a photograph; None if it waits."""
        if not entry.name:
            return Outcome(notes=(entry.note or "",))
        found = _outcomes.get(self._key(entry))
        gone = found is not None and found.file is not None and not found.file.exists()  # files live for a day
        return None if gone else found

    def rows(self) -> list[dict[str, Any]]:
        """Return the state of every photograph as plain values."""
        return [self._row(entry) for entry in self.entries]

    def waiting(self) -> list[int]:
        """Return the indices of the photographs without a result."""
        finished = self.finished()
        return [index for index, entry in enumerate(self.entries) if entry.name not in finished]

    def finished(self) -> dict[str, Path]:
        """Return the files of the results by their names."""
        found = {entry.name: self.outcome(entry) for entry in self.entries}
        return {name: outcome.file for name, outcome in found.items() if outcome and outcome.file}

    @contextmanager
    def at_work(self, entry: Entry) -> Iterator[None]:
        """Show within this context that a photograph is being upscaled."""
        _at_work.add(key := self._key(entry))
        try:
            yield
        finally:
            _at_work.discard(key)

    def upscale(self, entry: Entry, worker: Upscaler) -> Generator[Progress, None, float]:
        """Upscale one of the photographs and remember the outcome, which may be a failure; return the seconds."""
        seconds = 0.0
        try:
            outcome, seconds = yield from self._upscaled(entry, worker)
        except UserError as error:
            outcome = Outcome(notes=(str(error),))
        _keep(_outcomes, self._key(entry), outcome)
        return seconds

    def look(self) -> Iterator[None]:
        """Make the small pictures that are missing, yielding after each."""
        for entry in self.entries:
            if entry.header is not None and entry.photo not in _thumbnails:
                try:
                    small = thumbnail(read_photograph(entry.photo), *_THUMBNAIL)
                except UserError:  # which its outcome will tell
                    small = None
                _keep(_thumbnails, entry.photo, small)
                yield

    def pack(self) -> Path:
        """Write the finished results into a ZIP file.

        Raises:
            UserError: none is finished, or there is no room.
        """
        files = self.finished()
        if not files:
            raise UserError("No photograph is finished yet: press Upscale first.")
        target = new_file(new_folder(), f"{len(files)}-{self.model}", ".zip")
        try:
            with zipfile.ZipFile(target, "w") as archive:  # the formats are compressed already, or small
                for name, file in files.items():
                    archive.write(file, name)
        except OSError as error:
            raise UserError(f"The ZIP file cannot be written ({error.strerror}): make room, or send fewer.") from error
        return target

    def _upscaled(self, entry: Entry, worker: Upscaler) -> Generator[Progress, None, tuple[Outcome, float]]:
        if entry.header is None:
            raise UserError(entry.note or "It cannot be upscaled.")
        model = models.load(self.model)
        self.settings.check_pass(model, entry.header.height, entry.header.width)
        photograph = read_photograph(entry.photo)
        if entry.photo not in _thumbnails:
            _keep(_thumbnails, entry.photo, thumbnail(photograph, *_THUMBNAIL))
        result = yield from worker.stream(photograph)
        file = new_file(new_folder(), Path(entry.name).stem, Path(entry.name).suffix)
        lost = encode(result.picture, file, quality=self.quality)
        notes = [entry.note, about_frames(entry.photo), result.note, *photograph.metadata.notes]
        if lost:
            notes.append(f"Not kept: {', '.join(lost)}.")
        size = f"{result.picture.width} × {result.picture.height}"
        return Outcome(file, size, tuple(filter(None, notes))), result.seconds

    def _row(self, entry: Entry) -> dict[str, Any]:
        outcome = self.outcome(entry)
        state = "waiting" if outcome is None else "done" if outcome.file else "failed"
        if self._key(entry) in _at_work:
            state, outcome = "at work", None
        return {
            "photograph": entry.photo.name,
            "state": state,
            "result": entry.name if state == "done" else None,
            "size": outcome.size if outcome else "",
            "notes": " ".join(outcome.notes) if outcome else entry.note or "",
            "thumbnail": _thumbnails.get(entry.photo),
        }

    def _key(self, entry: Entry) -> tuple[Any, ...]:
        return entry.photo, Path(entry.name).suffix, self.model, self.quality, self.settings


def _note(job: Job) -> str | None:
    """Return why a result is of another format; its name is shown in any case."""
    return job.note and job.note.removesuffix(f"The result is {job.target.name}.").strip()


def _keep(store: OrderedDict[Key, Kept], key: Key, value: Kept) -> None:
    store[key] = value
    store.move_to_end(key)
    while len(store) > _KEPT:
        store.popitem(last=False)
