"""Find the weights in a checkpoint, however training programs nest and prefix them; averaged ones come first."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptsr.support.errors import CheckpointError
from promptsr.zoo.sr_model import SRModel

State = dict[str, Tensor]
"""Tensors by name."""

_PLAIN = {"params", "weights", "state", "modelstate", "statedict", "module", "model"}
_PLAIN |= {"net", "network", "netg", "networkg", "generator", "g"}
"""Names of entries and prefixes of a network, without their `_state_dict`."""
_AVERAGES = ("ema", "swa", "averaged", "average")
_INSERTED = re.compile(r"_(orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)\.")
"""Parts of names that PyTorch's own wrappers add, at any depth."""
_DEEPEST = 6
_MOST_PARTS = 8
"""Parts of a network with more parts than this are not tried as networks of their own."""


class Rank(IntEnum):
    """Preference for an entry, by its name; the lowest is taken."""

    AVERAGED = 0
    PLAIN = 1
    UNKNOWN = 2
    """Never taken, but told in the error."""


@dataclass(frozen=True)
class Entry:
    """Tensors that may be those of a network."""

    place: str
    """Names that lead there, such as "state_dict.generator"; empty: the file itself."""
    rank: Rank
    views: tuple[State, ...]
    """The tensors as they are named, then without the first part of their names as long as all share it."""
    parts: tuple["Entry", ...] = ()
    """Its parts, if it is not one network: such as generator and discriminator."""

    def shapes(self) -> dict[str, torch.Size]:
        """Return the shapes by name without prefixes, which are equal for two entries of one network."""
        return {name: value.shape for name, value in self.views[-1].items()}

    def equals(self, other: "Entry") -> bool:
        """Return whether both hold the same values."""
        mine, theirs = self.views[-1], other.views[-1]
        return self.shapes() == other.shapes() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def take_network(path: Path, content: Mapping[str, Any], build: Callable[[Entry], SRModel | None]) -> SRModel | None:
    """Build the network of a checkpoint from its best entry, and note which in `SRModel.weights`.

    Args:
        path: of the file, for messages.
        content: as `read_tensors` returns it.
        build: builds the network of an entry; None if it knows none that fits.

    Returns:
        The model; None if no entry holds a network.

    Raises:
        CheckpointError: the entries hold several networks, or none whose name says that it is the one.
    """
    entries = list(_entries(content, "", Rank.PLAIN, 0))
    queue, held, found = entries, list[Entry](), list[tuple[Entry, SRModel]]()
    while queue:
        entry, *queue = sorted(queue, key=lambda entry: entry.rank)
        model = None
        if entry.rank is not Rank.UNKNOWN or all(other.rank is Rank.UNKNOWN for other, _ in found):
            alike = (model for other, model in found if other.shapes() == entry.shapes())
            model = next(alike, None) or build(entry)
            if model is None and entry.parts:
                queue += entry.parts
                continue
        held.append(entry)
        found += [(entry, model)] if model else []
    if not found:
        return None
    taken, model = min(found, key=lambda pair: pair[0].rank)
    kept = {id(entry) for entry in held}
    places = [entry.place for entry in _walk(entries) if id(entry) in kept and entry.place]
    if taken.rank is Rank.UNKNOWN or any(_rivals(taken, model, *other) for other in found):
        kinds = {entry.place: f" ({other.architecture} x{other.scale})" for entry, other in found}
        listed = ", ".join(place + kinds.get(place, "") for place in places)
        raise CheckpointError(f"{path} holds {listed}: save the one that you want in a file of its own.")
    of = f" of {', '.join(places)}" if len(places) > 1 else ""
    return replace(model, weights=f"{taken.place}{of}" if taken.place else None)


def _rivals(taken: Entry, model: SRModel, entry: Entry, other: SRModel) -> bool:
    """Return whether the file does not say which of two entries is meant."""
    if (model.architecture, model.scale) != (other.architecture, other.scale):
        return True
    return entry.rank is taken.rank and not entry.equals(taken)


def _entries(content: Mapping[Any, Any], place: str, rank: Rank, depth: int) -> Iterator[Entry]:
    """Find the entries that nest no others, in the order of the file."""
    nested = {str(name): value for name, value in content.items() if _has_tensors(value, depth)}
    for name, value in nested.items():
        inner = _rank(name)
        if len(nested) == 1 and inner is Rank.UNKNOWN:
            inner = Rank.PLAIN
        yield from _entries(value, _join(place, name), _both(rank, inner), depth + 1)
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not nested or any("." in name for name in state):
        clean = {_INSERTED.sub("", name): value for name, value in state.items()}
        yield _entry(clean if len(clean) == len(state) else state, place, rank, depth)


def _entry(state: State, place: str, rank: Rank, depth: int) -> Entry:
    views, parts = [state], _parts(state)
    while len(parts) == 1 and len(views) < _DEEPEST and not _has_root(views[-1]):
        views += parts.values()
        parts = _parts(views[-1])
    known = any(_rank(name) is not Rank.UNKNOWN for name in parts)
    if depth >= _DEEPEST or not (known or 1 < len(parts) <= _MOST_PARTS):
        parts = {}
    ranks = {name: _both(rank, _rank(name)) for name in parts}
    inner = (_entry(part, _join(place, name), ranks[name], depth + 1) for name, part in parts.items())
    return Entry(place, rank, tuple(views), tuple(inner))


def _has_tensors(value: Any, depth: int) -> bool:
    """Return whether an entry nests floats by name, and is not an optimizer's state."""
    if not isinstance(value, Mapping) or "param_groups" in value or depth > _DEEPEST:
        return False
    return any(
        item.is_floating_point() if isinstance(item, Tensor) else _has_tensors(item, depth + 1)
        for item in value.values()
    )


def _parts(state: State) -> dict[str, State]:
    """Divide tensors by the first of several parts of their names."""
    parts: dict[str, State] = {}
    for name, value in state.items():
        first, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(first, {})[rest] = value
    return parts


def _has_root(state: State) -> bool:
    """Return whether tensors have no prefix; counters such as `n_averaged` do not count."""
    return any(value.ndim for name, value in state.items() if "." not in name)


def _walk(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries and their parts, in the order of the file."""
    for entry in entries:
        yield entry
        yield from _walk(entry.parts)


def _rank(name: str) -> Rank:
    plain = re.sub(r"[^a-z]", "", name.lower())
    plain = plain.removesuffix("statedict") or plain
    bare = plain
    for word in _AVERAGES:
        bare = bare.removeprefix(word).removesuffix(word)
    if bare == plain:
        return Rank.PLAIN if plain in _PLAIN else Rank.UNKNOWN
    return Rank.AVERAGED if not bare or bare in _PLAIN else Rank.UNKNOWN


def _both(outer: Rank, inner: Rank) -> Rank:
    return Rank.UNKNOWN if Rank.UNKNOWN in (outer, inner) else min(outer, inner)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
