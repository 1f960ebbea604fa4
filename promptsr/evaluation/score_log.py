"""Log of scores, from which a stopped run goes on."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from promptsr.evaluation.evaluate import ImageScore
from promptsr.support.errors import UserError


@dataclass(frozen=True)
class ScoreLog:
    """The files `scores-<rank>.jsonl` of a folder, with a score and the key of its task on each line.

    A process appends to its own file only, a line at once, and reads all of them. A truncated line, of a killed
    process, is ignored.
    """

    folder: Path
    rank: int = 0

    def read(self) -> dict[str, ImageScore]:
        """Return all scores by their keys, those of other ranks and earlier runs too."""
        scores: dict[str, ImageScore] = {}
        for path in sorted(self.folder.glob("scores-*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    key = entry.pop("key")
                    scores[key] = ImageScore(entry["name"], float(entry["psnr_y"]), float(entry["ssim_y"]))
                except (ValueError, TypeError, AttributeError, KeyError):  # truncated
                    continue
        return scores

    def add(self, key: str, score: ImageScore) -> None:
        """Append a score.

        Raises:
            UserError: the folder cannot be written.
        """
        entry = {"key": key, **asdict(score)}
        # JSON has no infinity; as text it can be told from NaN.
        line = json.dumps({name: str(value) if _special(value) else value for name, value in entry.items()})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"scores-{self.rank}.jsonl").open("a") as file:
                file.write(f"\n{line}\n")  # half a line of an earlier run may come before
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder} ({error.strerror}): choose another output folder."
            ) from error


def _special(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
