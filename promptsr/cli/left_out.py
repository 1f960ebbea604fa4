"""Images that a command leaves out: each is named once, as soon as it is known, and the command ends with status 2."""

from collections.abc import Mapping

from promptsr.cli.console import complain
from promptsr.support.errors import UserError
from promptsr.support.ranks import started


class LeftOutLog:
    """The images that were named up to now, by the first of several ranks alone."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}

    def name(self, images: Mapping[str, str]) -> None:
        """Name images and the reasons on stderr, but for those that were named before."""
        for image, reason in images.items():
            if started().first and image not in self._named:
                self._named[image] = reason
                complain(f"{image} was left out: {reason}")


def check_none_left_out(images: Mapping[str, str], total: int) -> None:
    """End a command whose results are written.

    Raises:
        UserError: some of the images were left out.
    """
    if images:
        raise UserError(f"{len(images)} of {total} images were left out; see above.")
