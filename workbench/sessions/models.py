"""The models that the page offers, by name; never a path that came over the network."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from analysis.ablations.networks import fresh
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.listing import ModelInfo, first_opponent, list_models
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel
from workbench.server.limits import in_force

BICUBIC = "bicubic"
_FAVOURITE = "promptsr-tiny-x4"


@lru_cache(maxsize=1)
def known() -> dict[str, ModelInfo]:
    """Return all models by name, as they were when the page was made."""
    return {model.name: model for model in list_models()}


def usable() -> list[str]:
    """Return the names of models with weights, trained networks first."""
    return sorted((name for name, model in known().items() if model.has_weights), key=lambda n: n.startswith(BICUBIC))


def of_scale(scale: int, gradients: bool = False) -> list[str]:
    """Return the models of this scale; without ONNX models if gradients are needed."""
    names = (name for name in usable() if known()[name].scale == scale)
    return [name for name in names if not (gradients and known()[name].architecture == "ONNX")]


def favourite() -> str:
    """Return the model that the page starts with."""
    return _FAVOURITE if _FAVOURITE in usable() else "bicubic-x4"


def rivals(name: str) -> list[str]:
    """Return the models to compare with: bicubic interpolation, and the others of the same scale.

    Raises:
        UserError: no such name.
    """
    _check(name)
    others = (other for other in of_scale(known()[name].scale) if other != name)
    return [BICUBIC, *(other for other in others if not other.startswith(BICUBIC))]


def first_rival(name: str) -> str:
    """Return the one of `rivals` that a comparison starts with: the largest network, if there is one.

    Raises:
        UserError: no such name.
    """
    best = first_opponent(known().values(), scale_of(name), {name})
    return best if best in rivals(name) else BICUBIC


def pair(scale: int, gradients: bool = False) -> list[str]:
    """Return the models that a comparison at this scale starts with: bicubic and a trained network, if there is one."""
    trained = [name for name in of_scale(scale, gradients) if not name.startswith(BICUBIC)]
    chosen = favourite() if favourite() in trained else next(iter(trained), None)
    return [f"{BICUBIC}-x{scale}", *([chosen] if chosen else [])]


def scale_of(name: str) -> int:
    """Return how many times a model enlarges.

    Raises:
        UserError: no such name.
    """
    _check(name)
    return known()[name].scale


def with_bicubic(name: str) -> list[str]:
    """Return a model beside bicubic interpolation of its scale."""
    return list(dict.fromkeys([f"{BICUBIC}-x{scale_of(name)}", name]))


def load_rival(name: str, scale: int) -> SRModel:
    """Return the model to compare with; `bicubic` means bicubic interpolation by whatever `scale`.

    Raises:
        UserError: no such name, no weights, or another scale.
    """
    rival = load(f"{BICUBIC}-x{scale}" if name == BICUBIC else name)
    if rival.scale != scale:
        raise UserError(f"{name} enlarges x{rival.scale}, not x{scale}: compare models of one scale.")
    return rival


def load(name: str) -> SRModel:
    """Return a model with weights.

    Raises:
        UserError: no such name, or no weights.
    """
    _check(name)
    return _kept()(name)


def load_several(names: Sequence[str], scale: int | None = None, beside: int = 0) -> list[SRModel]:
    """Different models for one question.

    Args:
        names: theirs; `bicubic` means bicubic interpolation by `scale`.
        scale: that all must have; None for any.
        beside: models that the question has already.

    Raises:
        UserError: none, too many, or the same twice; no such name, no weights, or another scale.
    """
    most = in_force().models_at_once - beside
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise UserError(f"Choose 1 to {most} different models, not {', '.join(names[: most + 1]) or 'none'}.")
    return [load(name) if scale is None else load_rival(name, scale) for name in names]


def check_pass(model: SRModel, tile: str | int, height: int, width: int) -> None:
    """Refuse tiles that take more memory than the page gives; "auto" never does.

    Raises:
        UserError: a forward pass of a tile (or of the whole image of `height` x `width`) would.
    """
    if tile == "auto" or model.tiling == "internal":
        return
    rows, columns = (side if tile == "whole" else min(int(tile), side) for side in (height, width))
    needed, most = model.working_memory(rows, columns), in_force().pass_bytes
    if needed > most:
        raise UserError(
            f"{model.name} would take {needed / 1e9:.1f} GB for {columns} x {rows} pixels at once, more than the limit "
            f"of {most / 1e9:.1f} GB: choose smaller tiles, or auto."
        )


@lru_cache(maxsize=1)
def _kept() -> Callable[[str], SRModel]:
    """Load models, and keeps as many as the limits allow."""
    return lru_cache(maxsize=in_force().models_kept)(load_model)


def network(name: str) -> PromptSR:
    """Return the PromptSR network of this name; without trained weights it has fresh ones, always the same.

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
    return _untrained(kind, int(scale))


@lru_cache(maxsize=2)
def _untrained(kind: str, scale: int) -> PromptSR:
    return fresh(preset(kind, scale=scale))


def networks() -> list[str]:
    """Return the names of the PromptSR networks, those with weights first."""
    names = [name for name, model in known().items() if model.architecture == PromptSR.__name__]
    return sorted(names, key=lambda name: not known()[name].has_weights)


def network_choices() -> list[tuple[str, str]]:
    """Label and name of each PromptSR network, for a dropdown."""
    return [(name if known()[name].has_weights else f"{name} (untrained)", name) for name in networks()]


def first_network() -> str:
    """Return the PromptSR network that a tab starts with."""
    return favourite() if favourite() in networks() else networks()[0]


def _check(name: str) -> None:
    if name not in list(known()):
        raise UserError(f"There is no model {name}: choose one of {', '.join(usable())}.")
