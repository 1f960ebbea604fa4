"""The checkpoints that the authors of the paper's networks publish: names, pages, and which are missing here."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from promptsr.zoo.listing import SCALES, ModelInfo

_LARGE = 5_000_000
"""Parameters that tell a large network from the light one of the same architecture."""


@dataclass(frozen=True)
class AuthorsFiles:
    """The checkpoints of a method of Tables I and III, or of a later one, one for each scale."""

    method: str
    """Name in the tables."""
    architecture: str
    """As `SRModel.architecture`."""
    page: str
    """Address of the page that has them, or links to them."""
    file: str = ""
    """Name of a file, with `{scale}` in it unless one file has all scales; empty if the page names none."""
    download: str = ""
    """Name for `promptsr fetch`, with `{scale}` in it; empty if that does not know the files."""
    download_scales: Sequence[int] = SCALES
    """Scales of `download`: checksums of the others are not known."""
    package: str = ""
    """Package that reads them; empty if none is needed."""
    large: bool = False
    """True if it is one of the large networks of Table III."""

    def missing(self, models: Iterable[ModelInfo]) -> list[int]:
        """Return the scales for which none of these models is of this method."""
        found = {each.scale for each in models if each.has_weights and self.fits(each.architecture, each.parameters)}
        return [scale for scale in SCALES if scale not in found]

    def fits(self, architecture: str, parameters: int) -> bool:
        """Return whether a network of this architecture and size is of this method."""
        return architecture == self.architecture and (parameters >= _LARGE) == self.large

    def names(self, scales: Iterable[int]) -> list[str]:
        """Return the names of the files for these scales."""
        return list(dict.fromkeys(self.file.format(scale=scale) for scale in scales if self.file))

    def downloads(self, scales: Iterable[int]) -> list[str]:
        """Return the names for `promptsr fetch` of the files for those of these scales that it knows."""
        known = self.download_scales if self.download else ()
        return [self.download.format(scale=scale) for scale in scales if scale in known]


@cache
def authors_files() -> list[AuthorsFiles]:
    """Return the files of all methods but PromptSR, in the order of the tables; others come last."""
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [AuthorsFiles(method, **entry) for method, entry in content.items()]
