"""The devices of a training, through Lightning Fabric: one, or one for each process that `torchrun` starts.

torchrun --nproc-per-node 4 -m promptsr train configs/x2.yaml --out runs/x2
"""

import atexit
import gc
import logging
import os
import re
import warnings
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor

from promptsr.support.errors import ConfigError
from promptsr.support.ranks import join, started
from promptsr.zoo.sr_model import find_device


def launch(device: str, precision: Literal["fp32", "bf16"]) -> tuple[Fabric, tuple[str, ...]]:
    """Join the other processes, if there are any.

    Args:
        device: `auto`, or what torch calls the device of this process; many processes take one GPU each.
        precision: of the arithmetic; weights are float32.

    Returns:
        The devices, and a sentence for each setting that is not available here.

    Raises:
        UserError: there is no such device here, or it is one for many processes.
    """
    world, local = started().world, int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    chosen = find_device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else find_device(device)
    if world > 1 and chosen.index is not None:
        raise ConfigError(f"device={device} names one device for {world} processes: give device={chosen.type}.")
    notes = []
    if precision == "bf16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        precision = "fp32"
        notes.append(f"{torch.cuda.get_device_name()} has no bfloat16, so the network is trained in float32.")
    if precision == "bf16" and chosen.type == "cuda":
        torch.set_float32_matmul_precision("high")  # what stays in float32 needs no more digits than TF32 has
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Torch stores the gradient of a depthwise kernel in another order than the kernel; copying these few costs nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    if world > 1 and not dist.is_initialized():  # Fabric takes the group that it finds
        join("nccl" if chosen.type == "cuda" else "gloo")
    fabric = Fabric(
        accelerator=chosen.type,
        devices=local if chosen.index is None else [chosen.index],
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        plugins=_Bf16(chosen.type) if precision == "bf16" else None,
    )
    fabric.launch()
    return fabric, tuple(notes)


class _Bf16(MixedPrecision):
    """Arithmetic in bfloat16 on images that stay as they are: its 8 bits would merge the grey levels of bright ones."""

    def __init__(self, device: str) -> None:
        super().__init__("bf16-mixed", device)

    def convert_input(self, data: Any) -> Any:
        return data


_left: list[object] = []
"""Process groups that were left."""


@atexit.register
def _end_groups() -> None:
    """End process groups while their threads can still take Python's lock, and with nothing else holding them.

    When DistributedDataParallel let go of one last, after another process had died, it waited for a thread of the group
    without releasing that lock, which the thread may need: a deadlock. At the interpreter's end it aborted, 5 of 30.
    """
    gc.collect()
    _left.clear()


def leave() -> None:
    """Leave the process group, if this process is in one: its threads must not outlive what they use."""
    if dist.is_initialized():
        _left.append(dist.group.WORLD)
        dist.destroy_process_group()


def total(fabric: Fabric, value: Tensor) -> float:
    """Return the sum of a value over all devices; each of them must ask for it."""
    result = fabric.all_reduce(value, reduce_op="sum")
    assert isinstance(result, Tensor)
    return float(result)


def lost(error: RuntimeError) -> bool:
    """Return whether this is how gloo or NCCL report that another process has ended."""
    return dist.is_initialized() and bool(re.search(r"by peer|remote process exited|timed out", str(error), re.I))
