"""The models that the page offers, by name; never a path that came over the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from threading import Lock

from analysis.ablations.networks import fresh
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.default import BEST
from promptsr.zoo.formats import TENSOR_SUFFIXES
from promptsr.zoo.listing import OWN_MODELS, Listing, ModelInfo, first_opponent, search_models
from promptsr.zoo.load import load_each, load_model
from promptsr.zoo.sr_model import SRModel
from workbench.server.limits import in_force

BICUBIC = "bicubic"


@dataclass(frozen=True)
class Added:
    """A model that the owner of the machine added."""

    path: Path
    source: str
    """As `load_model` takes it: the path, with the scale where a file serves several."""
    info: ModelInfo


_added: dict[str, Added] = {}
_reading = Lock()
_postponed, _completed = False, False


@lru_cache(maxsize=2)
def _listing(read_new: bool) -> Listing:
    return search_models(read_new)


def listing() -> Listing:
    """Return the models and the ignored files as they were when the page was made; see `postpone_reading`."""
    return _listing(is_complete())


def postpone_reading() -> None:
    """Leave files of other networks that were never read out of all lists until `complete`: reading takes seconds."""
    global _postponed
    _postponed = True


def complete() -> None:
    """Read these files; concurrent callers block until that is done."""
    global _completed
    with _reading:
        _listing(True)
        _completed = True


def is_complete() -> bool:
    """Return whether all files were read."""
    return _completed or not _postponed


def added() -> dict[str, Added]:
    """Return the models that were added by name, as long as their files are there: those of uploads live for a day."""
    return {name: each for name, each in list(_added.items()) if each.path.is_file()}


def known() -> dict[str, ModelInfo]:
    """Return all models by name."""
    return {model.name: model for model in listing().models} | {name: each.info for name, each in added().items()}


def add(path: Path) -> list[str]:
    """Add a checkpoint that was sent to the lists of all pages until the program ends.

    Returns:
        The name of its model, or of one for each scale; the same if the file was added before.

    Raises:
        UserError: it is no file of tensors, or holds no model.
    """
    if path.suffix.lower() not in TENSOR_SUFFIXES:
        raise UserError(
            f"{path.name} is not a file of tensors: add {', '.join(TENSOR_SUFFIXES[:-1])} or {TENSOR_SUFFIXES[-1]}. "
            f"Other models go into the folder that {OWN_MODELS} names."
        )
    try:
        found = load_each(path)
    except UserError as error:
        raise UserError(str(error).replace(str(path), path.name)) from error
    complete()
    with _reading:
        if before := [name for name, each in added().items() if each.path == path]:
            return before
        names = []
        for model in found:
            wish, source = (path.stem, str(path)) if len(found) == 1 else (model.name, f"{path}@x{model.scale}")
            numbered = (wish if number == 1 else f"{wish}-{number}" for number in count(1))
            name = next(each for each in numbered if each not in {BICUBIC, *known(), *_added})
            info = ModelInfo(name, model.scale, model.parameters, True, {}, model.architecture, model.weights)
            _added[name] = Added(path, source, info)
            names.append(name)
        return names


def usable() -> list[str]:
    """Return the names of models with weights by scale, networks first."""
    found = [model for model in known().values() if model.has_weights]
    return [model.name for model in sorted(found, key=lambda model: (model.scale, model.name.startswith(BICUBIC)))]


def of_scale(scale: int, gradients: bool = False) -> list[str]:
    """Return the models of this scale; without ONNX models if gradients are needed."""
    models = known()
    names = (name for name in usable() if models[name].scale == scale)
    return [name for name in names if not (gradients and models[name].architecture == "ONNX")]


def favourite() -> str:
    """Return the model that the page starts with."""
    return BEST if BEST in usable() else "bicubic-x4"


def rivals(name: str) -> list[str]:
    """Return the models to compare with: bicubic interpolation, and the others of the same scale.

    Raises:
        UserError: no such name.
    """
    check(name)
    others = (other for other in of_scale(known()[name].scale) if other != name)
    return [BICUBIC, *(other for other in others if not other.startswith(BICUBIC))]


def first_rival(name: str) -> str:
    """Return the one of `rivals` that a comparison starts with, see `first_opponent`.

    It stays the same while the page is open, so networks that are found or added later are not taken.

    Raises:
        UserError: no such name.
    """
    check(name)
    own = known()[name]
    best = first_opponent(_listing(not _postponed).models, own.scale, {name}, own.architecture)
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
    check(name)
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
    check(name)
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
    return lru_cache(maxsize=in_force().models_kept)(_open)


def _open(name: str) -> SRModel:
    own = _added.get(name)
    return replace(load_model(own.source), name=name) if own else load_model(name)


def network(name: str) -> PromptSR:
    """Return the PromptSR network of this name; without trained weights it has fresh ones, always the same.

    Raises:
        UserError: no such name, or another kind of model.
    """
    check(name)
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
    found = [model for model in known().values() if model.architecture == PromptSR.__name__]
    return [model.name for model in sorted(found, key=lambda model: not model.has_weights)]


def network_choices() -> list[tuple[str, str]]:
    """Label and name of each PromptSR network, for a dropdown."""
    models = known()
    return [(name if models[name].has_weights else f"{name} (untrained)", name) for name in networks()]


def first_network() -> str:
    """Return the PromptSR network that a tab starts with."""
    return favourite() if favourite() in networks() else networks()[0]


def check(name: str) -> None:
    """Check that there is a model of this name.

    Raises:
        UserError: there is none.
    """
    if name not in list(known()):
        complete()
    if name not in list(known()):
        raise UserError(f"There is no model {name}: choose one of {', '.join(usable())}.")
