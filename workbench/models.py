"""The models that the page offers, by name; never a path that came over the network."""

from functools import lru_cache

from analysis.ablations import fresh
from promptsr.config import preset
from promptsr.errors import UserError
from promptsr.model.network import PromptSR
from promptsr.sr_model import SRModel
from promptsr.zoo import ModelInfo, list_models, load_model

BICUBIC = "bicubic"
_FAVOURITE = "promptsr-tiny-x4"


@lru_cache(maxsize=1)
def known() -> dict[str, ModelInfo]:
    """All models by name, as they were when the page was made."""
    return {model.name: model for model in list_models()}


def usable() -> list[str]:
    """Names of those with weights, trained networks first."""
    return sorted((name for name, model in known().items() if model.has_weights), key=lambda n: n.startswith(BICUBIC))


def of_scale(scale: int, gradients: bool = False) -> list[str]:
    """Those that enlarge by this scale; without ONNX models if gradients are needed."""
    names = (name for name in usable() if known()[name].scale == scale)
    return [name for name in names if not (gradients and known()[name].architecture == "ONNX")]


def favourite() -> str:
    """What the page starts with."""
    return _FAVOURITE if _FAVOURITE in usable() else "bicubic-x4"


def rivals(name: str) -> list[str]:
    """What a model can be compared with: bicubic interpolation, and the other models of its scale.

    Raises:
        UserError: no such name.
    """
    _check(name)
    others = (other for other in of_scale(known()[name].scale) if other != name)
    return [BICUBIC, *(other for other in others if not other.startswith(BICUBIC))]


def pair(scale: int, gradients: bool = False) -> list[str]:
    """What a comparison at this scale starts with: bicubic interpolation and a trained network, if there is one."""
    trained = [name for name in of_scale(scale, gradients) if not name.startswith(BICUBIC)]
    chosen = favourite() if favourite() in trained else next(iter(trained), None)
    return [f"{BICUBIC}-x{scale}", *([chosen] if chosen else [])]


def scale_of(name: str) -> int:
    """How many times a model enlarges.

    Raises:
        UserError: no such name.
    """
    _check(name)
    return known()[name].scale


def with_bicubic(name: str) -> list[str]:
    """A model beside bicubic interpolation of its scale."""
    return list(dict.fromkeys([f"{BICUBIC}-x{scale_of(name)}", name]))


def load_rival(name: str, scale: int) -> SRModel:
    """The model to compare with; `bicubic` means bicubic interpolation by whatever `scale`.

    Raises:
        UserError: no such name, no weights, or another scale.
    """
    rival = load(f"{BICUBIC}-x{scale}" if name == BICUBIC else name)
    if rival.scale != scale:
        raise UserError(f"{name} enlarges x{rival.scale}, not x{scale}: compare models of one scale.")
    return rival


@lru_cache(maxsize=4)
def load(name: str) -> SRModel:
    """A model with weights.

    Raises:
        UserError: no such name, or no weights.
    """
    _check(name)
    return load_model(name)


@lru_cache(maxsize=2)
def network(name: str) -> PromptSR:
    """The PromptSR network of this name; one with fresh weights, always the same, where there are no trained ones.

    Raises:
        UserError: no such name, or another kind of model.
    """
    _check(name)
    if known()[name].has_weights:
        found = load(name).network
        if not isinstance(found, PromptSR):
            raise UserError(f"{name} is no PromptSR network: choose one of {', '.join(networks())}.")
        return found
    kind, _, scale = name.rpartition("-x")
    return fresh(preset(kind, scale=int(scale)))


def networks() -> list[str]:
    """Names of the PromptSR networks, those with weights first."""
    names = [name for name, model in known().items() if model.architecture == PromptSR.__name__]
    return sorted(names, key=lambda name: not known()[name].has_weights)


def network_choices() -> list[tuple[str, str]]:
    """Label and name of each PromptSR network, for a dropdown."""
    return [(name if known()[name].has_weights else f"{name} (untrained)", name) for name in networks()]


def first_network() -> str:
    """The PromptSR network that a tab starts with."""
    return favourite() if favourite() in networks() else networks()[0]


def _check(name: str) -> None:
    if name not in list(known()):
        raise UserError(f"There is no model {name}: choose one of {', '.join(usable())}.")
