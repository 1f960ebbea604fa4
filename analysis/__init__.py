"""One file per question asked of the networks; each returns plain results that `figures` can draw."""

import promptsr.wait_policy  # noqa: F401
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.common.image_windows import Region
    from analysis.lam.attribution import Attribution, PathSettings
    from analysis.lam.method import LocalAttributionMap

__all__ = ["Attribution", "LocalAttributionMap", "PathSettings", "Region"]

_HOMES = {
    "Attribution": "analysis.lam.attribution",
    "LocalAttributionMap": "analysis.lam.method",
    "PathSettings": "analysis.lam.attribution",
    "Region": "analysis.common.image_windows",
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for: captum alone takes a second, and most commands do without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
