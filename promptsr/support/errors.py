"""Errors that users can mend.

Every message is one sentence (or two) that tells the user what to do next. The command line prints it and exits
with code 2, the workbench shows it as a toast; neither ever shows a traceback for these.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """Bad input that the user can mend; the message says how."""


class ImageError(UserError):
    """A file that cannot be read as an image, or written as one."""


class CheckpointError(UserError):
    """A weights file that is missing, foreign, damaged, or made for another network."""


class DownloadError(UserError):
    """A file on the web that does not arrive, or differs from the known one."""


class ConfigError(UserError, ValueError):
    """A setting that does not exist or has an impossible value."""


@contextmanager
def as_value_errors() -> Iterator[None]:
    """Turn errors of a decoder into ValueError, since libraries do not agree on a type; lack of memory stays itself."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(str(error)) from error


def missing_package(error: ModuleNotFoundError) -> str:
    """Return a sentence for a package of which an extra of the installation makes use."""
    return f"{error.name} is not installed: run pip install '.[all]' in the checkout."


def first_line(text: str) -> str:
    """Return the first line of an error's message; later ones seldom help a user."""
    return next(iter(text.strip().splitlines()), "").rstrip()


def first_few(names: Sequence[str], count: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
