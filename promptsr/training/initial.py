"""The weights that a training starts from."""

from pathlib import Path

from torch import nn

from promptsr.checkpoints import load_checkpoint
from promptsr.errors import CheckpointError
from promptsr.training.state import load_state


def load_matching(network: nn.Module, path: Path) -> None:
    """Takes over every tensor of the same name and shape.

    Args:
        network: gets the weights.
        path: of a checkpoint, or of the state of a run, whose averaged weights are taken.

    Raises:
        CheckpointError: an unusable file, or one of a network with another number of channels.
    """
    source = load_state(path)["average"] if path.suffix == ".ckpt" else load_checkpoint(path).state_dict()
    wanted = network.state_dict()
    state = {name: value for name, value in source.items() if name in wanted and value.shape == wanted[name].shape}
    if "encoder.weight" not in state:
        raise CheckpointError(f"{path} has another number of channels than this network: choose other weights.")
    network.load_state_dict(state, strict=False)
