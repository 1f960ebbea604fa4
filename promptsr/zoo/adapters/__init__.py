"""Networks of other authors as `SRModel`s: from checkpoints (`load_file`) and from code (`load_function`)."""

from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

from promptsr.support.errors import CheckpointError
from promptsr.zoo.adapters.own_modules import load_function
from promptsr.zoo.adapters.spandrel_models import load_spandrel
from promptsr.zoo.checkpoints import refuse_without_settings
from promptsr.zoo.entries import Entry, Rank, take_network
from promptsr.zoo.formats import FUNCTION, READERS, SUFFIXES, is_promptsr, read_header
from promptsr.zoo.peers import find_peer, peer_titles
from promptsr.zoo.peers.peer import Peer
from promptsr.zoo.sr_model import SRModel
from promptsr.zoo.tensor_files import read_tensors

__all__ = ["FUNCTION", "SUFFIXES", "each_scale", "is_foreign", "load_file", "load_function", "take_scale"]


def is_foreign(path: Path) -> bool:
    """Return whether `load_file` reads this file: any but the checkpoints that `promptsr train` writes."""
    if path.suffix.lower() in READERS:
        return True
    try:
        return not is_promptsr(read_header(path).notes)
    except CheckpointError:
        return True


def load_file(path: Path) -> SRModel:
    """Load the model in a file of other authors, named by the file's stem, in evaluation mode.

    The networks of `promptsr.zoo.peers` are tried first, then those of spandrel; `.onnx` goes through onnxruntime. Only
    tensors are read from a checkpoint, so none can run code. Of several entries the averaged weights are taken, see
    `SRModel.weights`; of several scales the smallest, see `each_scale`.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, of an unknown network or of several; the network is not
            one for super-resolution of colour images; or the package that would read it is not installed.
    """
    if reader := READERS.get(path.suffix.lower()):
        model: SRModel = resolve_name(reader)(path)
        return model
    content = read_tensors(path)
    problems: list[CheckpointError] = []

    def build(entry: Entry) -> SRModel | None:
        for view in entry.views:
            if peer := find_peer(path, view):
                return peer
        for view in entry.views:
            try:
                refuse_without_settings(path, content, view)
                if found := load_spandrel(path, view):
                    return found
            except CheckpointError as error:  # another entry, or the same without a prefix, may be sound
                if entry.rank is not Rank.UNKNOWN:
                    problems.append(error)
        return None

    if found := take_network(path, content, build):
        return found
    if problems:
        raise problems[0]
    raise CheckpointError(
        f"{path} holds none of the networks known here: choose a checkpoint of {peer_titles()}, of a network that "
        "spandrel supports, or of PromptSR."
    )


def each_scale(path: Path, model: SRModel) -> list[SRModel]:
    """Return the models of a file: one, or one for each scale, named `file.pth@x3`, where a network has several.

    Args:
        path: of the file.
        model: as `load_file` returns it.
    """
    network = model.network
    if not isinstance(network, Peer) or len(network.scales) < 2:
        return [model]
    return [
        replace(model, name=f"{path.name}@x{scale}", scale=scale, network=network.at(scale)) for scale in network.scales
    ]


def take_scale(path: Path, model: SRModel, scale: int | None) -> SRModel:
    """Return the model of a file that upscales by `scale`; None: the only one.

    Raises:
        CheckpointError: there are several, or none of this scale.
    """
    models = each_scale(path, model)
    fitting = [each for each in models if scale in (None, each.scale)]
    if len(fitting) == 1:
        return fitting[0]
    *several, last = (f"x{each.scale}" for each in models)
    scales = f"{', '.join(several)} and {last}" if several else last
    if fitting:
        raise CheckpointError(f"{path} upscales {scales}: choose one of them, such as {path}@x{models[-1].scale}.")
    raise CheckpointError(f"{path} upscales {scales}, not x{scale}: choose weights for x{scale}.")
