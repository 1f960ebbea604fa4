"""Places that tabs hand on to each other: which photograph, what is done with it, by which models, and where in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.common.image_windows import Region
from promptsr.support.errors import UserError
from workbench.sessions import models
from workbench.sessions.compare import fit
from workbench.sessions.uploads import read_photograph

SIDE = 64
"""Side of the region around a pixel, in pixels of the result."""


@dataclass(frozen=True)
class Place:
    """A region of what models of one scale make of a photograph."""

    image: Path
    """File that browsers show."""
    way: str
    """"shrink" takes it for the HR image and shrinks it first; "enlarge" takes it as it is."""
    models: tuple[str, ...]
    region: Region
    """In pixels of the result, wholly in it."""

    @classmethod
    def around(cls, image: str | None, way: str, names: Sequence[str], x: int | None, y: int | None) -> "Place":
        """Return the region around a pixel of the result, moved into the image; in the middle where no pixel is given.

        Raises:
            UserError: there is no image, or no model.
        """
        if not image or not names:
            raise UserError("There is no place yet: choose a photograph and a model first.")
        picture = read_photograph(image)
        scale = models.scale_of(names[0])
        factor = 1 if way == "shrink" else scale
        width, height = (factor * side // scale * scale for side in (picture.width, picture.height))
        left, top = (None if middle is None else middle - SIDE // 2 for middle in (x, y))
        return cls(Path(image), way, tuple(names), fit(left, top, SIDE, width, height))

    @property
    def scale(self) -> int:
        """Scale of the models."""
        return models.scale_of(self.models[0])

    @property
    def pixel(self) -> tuple[int, int]:
        """The middle of the region as x and y, in pixels of the photograph."""
        factor = 1 if self.way == "shrink" else self.scale
        x, y = ((start + self.region.size // 2) // factor for start in (self.region.x, self.region.y))
        return x, y

    @property
    def network(self) -> str:
        """Name of the first model that is a PromptSR network.

        Raises:
            UserError: none.
        """
        found = next((name for name in self.models if name in models.networks()), None)
        if found is None:
            raise UserError(
                f"Of {', '.join(self.models)} none is a PromptSR network that can be looked into: choose one of "
                f"{', '.join(models.networks())}."
            )
        return found
