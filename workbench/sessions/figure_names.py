"""Names of models in the figures of a visit, in place of their own; programs, which have no visit, keep those."""

import re
from collections import OrderedDict
from collections.abc import Mapping

from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions import models, visits

LONGEST = 40
"""Characters of a name."""
_MARKUP = re.compile(r"[<>$\\{}&]")
_OTHERS = ("HR", "Input")
"""Names of what is beside the models in figures."""
_names: OrderedDict[str, dict[str, str]] = OrderedDict()
"""By visit: name in figures by model."""


def figure_names() -> Mapping[str, str]:
    """Return the names in figures by model, of the visit that asks; a model without one keeps its own."""
    return _names.get(visits.current() or "", {})


def call(model: str, name: str) -> None:
    """Set the name of a model in the figures of the visit that asks; an empty one is its own again.

    Raises:
        UserError: no such model; or a name that is too long, could be markup or a line break, or is another model's.
    """
    models.check(model)
    name, visit = name.strip(), visits.current()
    if len(name) > LONGEST or _MARKUP.search(name) or not name.isprintable():
        raise UserError(f"A name in figures has up to {LONGEST} characters, without < > $ & {{ }} \\: choose another.")
    others = {each: each for each in models.known()} | {each: each for each in _OTHERS} | dict(figure_names())
    del others[model]
    if name in others.values():
        raise UserError(f"{name} is the name of another picture: choose another.")
    if visit is None:
        raise UserError("Only an open page has names for figures: load it again.")
    own = {**figure_names(), model: name}
    _names[visit] = {each: chosen for each, chosen in own.items() if chosen and chosen != each}
    _names.move_to_end(visit)
    while len(_names) > in_force().sessions:
        _names.popitem(last=False)
