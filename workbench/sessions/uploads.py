"""Photographs that people sent, read within the limits of the page."""

import re
from os.path import isfile
from pathlib import Path

from gradio.utils import get_upload_folder

from promptsr.imaging import Picture, decode, encode, inspect
from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions.pictures import new_file, new_folder

_SHOWN = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
}
"""Formats that browsers show, by the suffixes at which they know them."""
_NAME = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{32}\w{8})/(?!\.\.?$)[^/\\]+", re.ASCII)
"""Folder and name of a file that was sent. Gradio names the folder by a hash of the content and of a secret, and
`new_folder` by 128 random bits, so that only those know it who sent the file, or got a link from them."""


def sent_file(image: str | None) -> Path:
    """Return the file of a photograph that was sent.

    Raises:
        UserError: there is none yet.
    """
    if not image:
        raise UserError("There is no photograph yet: drop one, paste one, or take a sample.")
    return Path(image)


def sent_before(name: str) -> Path:
    """Return the file that a link names by its folder and name, as long as the server keeps it.

    Raises:
        UserError: there is none.
    """
    path = Path(get_upload_folder(), name)
    if not _NAME.fullmatch(name) or not isfile(path):  # which is false for impossible names too
        raise UserError(
            f"The photograph {name.rpartition('/')[2][:100]} is no longer on this server, which keeps files for a day: "
            "send it again."
        )
    return path


def read_photograph(image: str | Path | None) -> Picture:
    """Read an uploaded photograph.

    Raises:
        UserError: there is none yet, it cannot be read, or it has more pixels than the page takes.
    """
    return decode(sent_file(str(image or "")), max_pixels=in_force().input_pixels)


def displayable(path: Path) -> str:
    """Return the path of an image that browsers show; others become PNG, which holds all that we read from them.

    Raises:
        UserError: as `read_photograph`.
    """
    picture = read_photograph(path)
    if path.suffix.lower() in _SHOWN.get(inspect(path).format, ()):
        return str(path)
    copy = new_file(new_folder(), path.stem, ".png")
    encode(picture, copy)
    return str(copy)


def about_frames(path: Path) -> str | None:
    """Return a sentence about a file with several frames or pages; None for others.

    Raises:
        UserError: the file is no image.
    """
    frames = inspect(path).frames
    return f"Frame 1 of {frames} is shown; `promptsr upscale` does them all." if frames > 1 else None
