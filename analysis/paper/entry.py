"""An entry of the living paper: a figure or table, how it is measured, and how its claims are judged."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from matplotlib.figure import Figure

from analysis.paper.materials import Materials

Numbers = dict[str, Any]
"""Plain values, by name, from which claims are judged."""
Lines = list[dict[str, str]]
"""Rows of a table as text by column; all have the same columns."""


class Verdict(StrEnum):
    """Outcome of a claim."""

    REPRODUCED = "reproduced"
    UNTRAINED_TOO = "reproduced, but also true of untrained weights"
    NOT_REPRODUCED = "not reproduced"
    UNMEASURED = "cannot be measured here"


@dataclass(frozen=True)
class Ruling:
    """Verdict on a claim."""

    verdict: Verdict
    sentence: str
    """The numbers that it rests on, or those that stand in for them."""
    needs: tuple[str, ...] = ()
    """Missing materials, if it cannot be measured."""

    @property
    def label(self) -> str:
        """Return the verdict in words, with all that is needed."""
        *others, last = self.needs or ("",)
        return f"{self.verdict}: needs {', '.join(others)}{' and ' * bool(others)}{last}" if last else self.verdict


@dataclass(frozen=True)
class Claim:
    """A statement of the paper."""

    text: str
    """In our words."""
    judge: Callable[[Numbers], Ruling]
    """Rules on the numbers of the entry's measurement, as they were stored."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Numbers, tables and pictures of an entry."""

    numbers: Numbers
    tables: dict[str, Lines] = field(default_factory=dict)
    """By caption."""
    pictures: dict[str, Figure] = field(default_factory=dict)
    """By caption, for a white ground."""

    def __or__(self, other: "Measurement") -> "Measurement":
        """Return both together; names and captions must differ."""
        return Measurement(self.numbers | other.numbers, self.tables | other.tables, self.pictures | other.pictures)


@dataclass(frozen=True)
class Entry:
    """A figure or table of the paper."""

    key: str
    """Such as `fig-1`, also the name of its files."""
    title: str
    """Such as `Fig. 1`."""
    shows: str
    """Its subject, in our words."""
    claims: tuple[Claim, ...]
    command: Callable[[Materials], str]
    """Returns the command line that measures the same."""
    measure: Callable[[Materials], Generator[str, None, Measurement]]
    """Yields what is at work; raises a `UserError`."""
    uses: tuple[str, ...] = ()
    """Fields of `Materials` that the measurement depends on."""
    table: str = ""
    """Table that prints its numbers, as for `promptsr.paper.tables.published`."""


def rule(holds: bool, sentence: str, *, needs: Sequence[str] = (), untrained: bool = False) -> Ruling:
    """Return the verdict on a claim.

    Args:
        holds: whether the measurement agrees with the claim.
        sentence: see `Ruling`.
        needs: missing materials, without which nothing is claimed.
        untrained: whether random weights in its place agree as well.
    """
    if needs:
        return Ruling(Verdict.UNMEASURED, sentence, tuple(needs))
    if not holds:
        return Ruling(Verdict.NOT_REPRODUCED, sentence)
    return Ruling(Verdict.UNTRAINED_TOO if untrained else Verdict.REPRODUCED, sentence)
