"""Logs of a run: `log.csv`, TensorBoard events, and a picture of the validation images."""

import csv
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from promptsr.imaging.encode import encode
from promptsr.imaging.picture import Picture, to_color
from promptsr.support.errors import UserError
from promptsr.support.files import replacing

FIELDS = ("step", "loss", "lr", "images_per_second", "psnr_y")


@dataclass(frozen=True)
class TrainReport:
    """Progress of a run."""

    step: int
    """Number of finished steps."""
    steps: int
    loss: float
    """Mean loss since the last report, for values in [0, 1]."""
    lr: float
    """Adam's rate in this step."""
    images_per_second: float
    """Crops a second of all devices since the last report; validation is not counted in."""
    psnr_y: float | None
    """Mean validation PSNR of the averaged weights in dB, without perfect images, when it was measured at this step."""
    notes: tuple[str, ...] = ()
    """Sentences that are told once, such as images left out or a precision that is not available."""


class Logs:
    """The logs of a run; write to them from one process."""

    def __init__(self, out: Path, step: int) -> None:
        """Continue after `step`: rows that a killed run has logged beyond it are removed."""
        self._csv = out / "log.csv"
        self._picture = out / "validation.png"
        rows = _rows(self._csv, step)
        with replacing(self._csv) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(FIELDS)
            writer.writerows(rows)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def report(self, report: TrainReport) -> None:
        """Add a row.

        Raises:
            UserError: the disk is full, or the file cannot be written.
        """
        values = {name: getattr(report, name) for name in FIELDS}
        try:
            with self._csv.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS).writerow(values)
            for name in FIELDS[1:]:
                if values[name] is not None:
                    self._board.add_scalar(name, values[name], report.step)
        except OSError as error:
            raise UserError(
                f"Cannot write {self._csv} ({error.strerror}): free some space, then go on with --resume."
            ) from error

    def picture(self, picture: Tensor, step: int) -> None:
        """Write the picture of the validation images: 3 x H x W in [0, 1]."""
        pixels = to_color(picture[None])
        encode(Picture(pixels), self._picture)
        self._board.add_image("validation", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the files."""
        self._board.close()


def _rows(path: Path, step: int) -> list[list[str]]:
    """Return the rows of a log up to a step; a truncated row is dropped."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == len(FIELDS) and row[0].isdigit() and int(row[0]) <= step]
