"""List the models that have a name, without torch: by headers, and by a cache of what other networks' files hold."""

import json
import os
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from promptsr.support.errors import CheckpointError, UserError
from promptsr.support.files import cache_folder, write_text
from promptsr.zoo.formats import FUNCTION, SUFFIXES, is_promptsr, read_config, read_header, split_scale

SCALES = (2, 3, 4)
WEIGHTS = Path(str(files("promptsr") / "weights"))
"""Folder of the bundled checkpoints: `<model name>.safetensors`, and `scores.json` with what they measured."""
OWN_MODELS = "PROMPTSR_MODELS"
"""Environment variable that may name a folder of your own checkpoints: every usable `.safetensors`, `.pth`, `.pt`,
`.ckpt` or `.onnx` file in it and its sub-folders is a model by its stem. Of several with the same stem, the one whose
suffix comes first here is taken, then the one in the fewest sub-folders, then the first by path. A name that is bundled
keeps meaning the bundled weights."""
PRESETS_LISTED = {
    "promptsr": (856_500, 862_995, 872_088),
    "promptsr-star": (1_105_180, 1_111_675, 1_120_768),
    "promptsr-tiny": (262_364, 266_699, 272_768),
}
"""Presets that are in the list even without weights, and their parameters by scale."""
_PACKAGES = ("torch", "torchvision", "spandrel", "spandrel_extra_arches", "onnx", "onnxruntime")
"""Packages that read files of other networks."""


@dataclass(frozen=True)
class ModelInfo:
    """Entry of the list of models."""

    name: str
    scale: int
    parameters: int
    has_weights: bool
    """False: a preset to train; `load_model` has nothing to load."""
    scores: dict[str, dict[str, float]]
    """Measured `psnr_y` and `ssim_y` by benchmark set."""
    architecture: str = "PromptSR"
    """As `SRModel.architecture`."""
    weights: str | None = None
    """As `SRModel.weights`."""


@dataclass(frozen=True)
class Listing:
    """All models that have a name, and what was left out."""

    models: list[ModelInfo]
    ignored: list[tuple[Path, str]]
    """Paths in the user's own folder that are no models, and why."""
    files: dict[str, Path]
    """Checkpoints by the names of their models."""


def list_models() -> list[ModelInfo]:
    """List all models that have a name: bicubic, the presets with and without weights, and those in your own folder."""
    return search_models().models


def search_models(read_new: bool = True) -> Listing:
    """List all models that have a name, and what was left out.

    A file of another network is loaded once; what it holds is kept in the user's cache until the file, our code or the
    packages that read it change.

    Args:
        read_new: load files that the cache does not know. Without that, which may take seconds, they are in no list.
    """
    path = WEIGHTS / "scores.json"
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["models"] if path.is_file() else {}
    models = {name: ModelInfo(name, s, 0, True, {}, "Bicubic") for s in SCALES if (name := f"bicubic-x{s}")}
    for preset, sizes in PRESETS_LISTED.items():
        for scale, size in zip(SCALES, sizes, strict=True):
            models[f"{preset}-x{scale}"] = ModelInfo(f"{preset}-x{scale}", scale, size, False, {})
    bundled = {name: path for name in models if os.path.isfile(path := WEIGHTS / f"{name}.safetensors")}
    own, ignored = own_checkpoints()
    for name in [name for name in own if name in bundled or (name in models and models[name].has_weights)]:
        ignored.append((own.pop(name), f"{name} comes with PromptSR: rename the file to use it by name"))
    kept, checkpoints = _Cache.load(), dict[str, Path]()
    for name, path in {**bundled, **own}.items():
        try:
            for model in _describe(name, path, kept, read_new):
                models[model.name], checkpoints[model.name] = model, path
        except UserError as error:
            ignored.append((path, str(error).removeprefix(f"{path} ").rstrip(".")))
    return Listing(
        [replace(model, scores=scores.get(name, {})) for name, model in models.items()],
        sorted(ignored),
        checkpoints,
    )


def first_opponent(models: Iterable[ModelInfo], scale: int, besides: Container[str], architecture: str) -> str:
    """Return the model to compare with by default: the largest network with weights of another architecture.

    Without one it is the largest of the same architecture, and without that bicubic.

    Args:
        models: those to choose from.
        scale: of the model in question.
        besides: names that it has, which are not taken.
        architecture: of the model in question.
    """
    networks = [each for each in models if each.has_weights and each.scale == scale and each.parameters]
    others = [each for each in networks if each.name not in besides]
    largest = max(others, key=lambda each: (each.architecture != architecture, each.parameters), default=None)
    return largest.name if largest else f"bicubic-x{scale}"


def find_checkpoint(name: str) -> Path | None:
    """Return the path of the weights of a named model, if there are any; `file.pth@x3` is one of several in a file."""
    bundled = WEIGHTS / f"{name}.safetensors"
    if os.path.isfile(bundled):
        return bundled
    own, (file, scale) = own_checkpoints()[0], split_scale(name)
    of_several = (path for path in own.values() if scale and file in (path.name, path.stem))
    return own.get(name) or next(of_several, None)


def own_checkpoints() -> tuple[dict[str, Path], list[tuple[Path, str]]]:
    """Return the files in the user's own folder that may be models by their names, and all others with the reason.

    Hidden files and folders are left out without a word.
    """
    chosen = os.environ.get(OWN_MODELS)
    if not chosen:
        return {}, []
    folder, found, ignored = Path(chosen), list[Path](), list[tuple[Path, str]]()
    if not folder.is_dir():
        return {}, [(folder, f"it is no folder: correct {OWN_MODELS}")]

    def refuse(error: OSError) -> None:
        ignored.append((Path(error.filename), f"it cannot be read ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() not in SUFFIXES:
                ignored.append((path, f"its suffix is none of {', '.join(SUFFIXES)}"))
            elif FUNCTION.fullmatch(path.stem):  # must never run one
                ignored.append((path, "its name reads as module:function: rename it"))
            else:
                found.append(path)
    found.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), len(path.parts), path))
    own: dict[str, Path] = {}
    for path in found:
        if own.setdefault(path.stem, path) is not path:
            ignored.append((path, f"{path.stem} means {own[path.stem].relative_to(folder)}: rename one of them"))
    return own, ignored


def _describe(name: str, path: Path, kept: "_Cache", read_new: bool) -> list[ModelInfo]:
    """Describe the models of a file, without scores; none of a new file that is not to be read.

    Raises:
        UserError: it is no model.
    """
    try:
        header = read_header(path)
    except CheckpointError:  # another format, or a damaged file
        header = None
    if header is not None and is_promptsr(header.notes):
        return [ModelInfo(name, read_config(path, header.notes).scale, header.values, True, {})]
    seen = kept.look_up(path, read_new)
    if seen is not None and seen.reason:
        raise CheckpointError(seen.reason)
    return seen.models if seen else []


@dataclass(frozen=True)
class _Seen:
    """Finding about a file of another network."""

    size: int
    changed: int
    """Time in nanoseconds."""
    models: list[ModelInfo]
    """Several, where it serves several scales."""
    reason: str = ""
    """Why it is no model."""


@dataclass
class _Cache:
    """Findings about files of other networks, by path."""

    readers: str
    """Hash of everything that decides how they are read."""
    seen: dict[str, _Seen] = field(default_factory=dict)

    @classmethod
    def load(cls) -> "_Cache":
        """Read what was kept by the same readers."""
        fresh = cls(_readers())
        with suppress(OSError, ValueError):
            kept = _stored().validate_json((cache_folder() / "models.json").read_bytes())
            if kept.readers == fresh.readers:
                return kept
        return fresh

    def look_up(self, path: Path, read_new: bool) -> _Seen | None:
        """Return what a file is. One that is new or has changed is read and remembered, or None without `read_new`."""
        key = os.path.abspath(path)
        try:
            size, changed = (status := path.stat()).st_size, status.st_mtime_ns
        except OSError as error:
            return _Seen(0, 0, [], f"{path} cannot be read ({error.strerror})")
        seen = self.seen.get(key)
        if seen is None or (seen.size, seen.changed) != (size, changed):
            if not read_new:
                return None
            from promptsr.zoo import adapters

            try:
                models = adapters.each_scale(path, adapters.load_file(path))
            except UserError as error:
                seen = _Seen(size, changed, [], str(error))
                if isinstance(error.__cause__, OSError | MemoryError):  # may pass while the file stays the same
                    return seen
            else:
                described = (
                    ModelInfo(each.name, each.scale, each.parameters, True, {}, each.architecture, each.weights)
                    for each in models
                )
                seen = _Seen(size, changed, list(described))
            self.seen[key] = seen
            self._save()
        return seen

    def _save(self) -> None:
        """Keep it, without files that are gone, unless the folder cannot be written."""
        self.seen = {key: seen for key, seen in self.seen.items() if os.path.exists(key)}
        with suppress(UserError):
            write_text(cache_folder() / "models.json", _stored().dump_json(self).decode())


@cache
def _stored() -> TypeAdapter[_Cache]:
    return TypeAdapter(_Cache)


def _readers() -> str:
    """Return a hash of everything that decides how files of other networks are read: our code, and packages."""
    sources = ((path.name, path.stat()) for path in sorted(Path(__file__).parent.rglob("*.py")))
    parts: list[Any] = [(name, status.st_size, status.st_mtime_ns) for name, status in sources]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            parts.append((package, version(package)))
    return sha256(repr(parts).encode()).hexdigest()
