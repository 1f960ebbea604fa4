"""A result that can be looked at while it grows: what is finished, and the comparison in place of the rest."""

import math
import time
from pathlib import Path

from promptsr.imaging import Picture
from workbench.sessions.pictures import new_folder, save_view
from workbench.sessions.upscale import nearest

_PIXELS = 2**20
"""Pixels of the largest view: as many as its place on the page has."""
_PAUSE = 1.5
"""Least seconds from one view to the next."""
_KEPT = 10
"""Files of views: browsers may be slow to fetch them."""
_SHARE = 0.03
"""Most of the time that views may take."""


class Growing:
    """Views of a picture that an upscaler fills.

    Args:
        picture: holds the comparison at first.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._factor = math.ceil(math.sqrt(picture.height * picture.width / _PIXELS))
        self._folder = new_folder()
        self._count = 0
        self._due = time.monotonic() + _PAUSE

    def view(self) -> Path | None:
        """Return the file of a new view, smaller where the picture is large; None if it is too early for one."""
        begun = time.monotonic()
        if begun < self._due:
            return None
        height, width = (max(1, side // self._factor) for side in (self._picture.height, self._picture.width))
        self._count += 1
        file = save_view(nearest(self._picture, height, width), self._folder / f"{self._count}.png")
        (self._folder / f"{self._count - _KEPT}.png").unlink(missing_ok=True)
        self._due = begun + max(_PAUSE, (time.monotonic() - begun) / _SHARE)
        return file
