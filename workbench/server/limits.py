"""Resource limits of a request, in one place; a TOML file can change each of them."""

import math
import tomllib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import monotonic
from typing import Annotated, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from promptsr.support.errors import ConfigError, UserError

Step = TypeVar("Step")
Count = Annotated[int, Field(strict=True, gt=0)]


@dataclass(frozen=True)
class Limits:
    """Positive whole numbers; a request beyond one is refused with a sentence that names the limit.

    None, as the page of the machine's owner has it: what memory and disk allow.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    upload_bytes: Count | None = None
    """Bytes of one file."""
    free_bytes: Count = 2**28
    """Bytes that uploads leave free on the disk."""
    input_pixels: Count | None = None
    """Pixels of a photograph, read from its header before any pixel is decoded."""
    output_pixels: Count | None = None
    """Pixels of an enlarged photograph."""
    compared_pixels: Count | None = None
    """Pixels of each result where several lie in memory at once."""
    pass_bytes: Count = 2 * 2**30
    """Working memory of one forward pass: what limits the tiles, and a whole image."""
    models_at_once: Count = 4
    """Models in one question."""
    models_kept: Count = 4
    """Models in memory, for all people together."""
    steps: Count = 200
    """Steps of a local attribution map."""
    photos: Count = 24
    """Photographs in one question: many to upscale, or a search for failures."""
    archive_images: Count = 2000
    """Images in a ZIP file."""
    archive_bytes: Count = 256 * 2**20
    """Bytes of all its images, unpacked."""
    images_per_category: Count = 500
    """Images in a study of anchor prompts."""
    seconds: Count | None = None
    """Seconds of work on one question, from its start."""
    away_seconds: Count = 600
    """Seconds that a run goes on after its page was closed or loaded again, unless a page shows it again."""
    sessions: Count = 100
    """Open pages whose results are remembered, those used last; up to five megabytes each."""
    results: Count = 12
    """Enlarged photographs of one page that can be shown again, up to half of them pinned."""
    results_pixels: Count = 2**27
    """Pixels of all of these, up to half of them pinned; those in the slider stay in any case."""
    waiting: Count = 128
    """Events in the queue, light ones too, of all people together."""
    waiting_each: Count = 8
    """Questions that need a network, waiting or being worked on, of one person."""


PUBLIC = replace(
    Limits(),
    upload_bytes=16 * 2**20,
    input_pixels=4 * 2**20,
    output_pixels=16 * 2**20,
    compared_pixels=2 * 2**20,
    pass_bytes=2**30,
    models_kept=3,
    steps=128,
    photos=8,
    archive_images=500,
    archive_bytes=64 * 2**20,
    images_per_category=100,
    results=8,
    results_pixels=2**25,
    seconds=180,
    waiting_each=2,
)
"""Limits for visitors from other machines."""

_in_force = Limits()


def in_force() -> Limits:
    """Return the limits of this program."""
    return _in_force


def enforce(limits: Limits) -> None:
    """Set the limits of this program; call it before the page is built."""
    global _in_force
    _in_force = limits


def read_limits(path: Path, base: Limits) -> Limits:
    """Read a TOML file of limits by name, such as `seconds = 60`; those that it does not name are as in `base`.

    Raises:
        ConfigError: no such file, no TOML, an unknown name, or a value that is no positive whole number.
    """
    try:
        changes = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(Limits).validate_python(asdict(base) | changes)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = ", ".join(field.name for field in fields(Limits))
        raise ConfigError(f"{path}: {name}: {first['msg']}. The limits are {known}, positive whole numbers.") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}): write lines such as seconds = 60.") from error


def timely(steps: Iterator[Step]) -> Iterator[Step]:
    """Yield from a generator as long as the limit of time allows; checked at every step.

    Raises:
        UserError: the time is over; the generator is closed by then.
    """
    seconds = in_force().seconds
    end = monotonic() + (seconds or math.inf)
    with closing(cast(Generator[Step, None, None], steps)):
        for step in steps:
            if monotonic() > end:
                raise UserError(
                    f"This took longer than the limit of {seconds} seconds, so it was stopped: send a smaller "
                    "photograph, or ask for less at once."
                )
            yield step
