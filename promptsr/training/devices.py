"""The devices of a training, through Lightning Fabric: one, or one for each process that `torchrun` starts.

torchrun --nproc-per-node 4 -m promptsr train configs/x2.yaml --out runs/x2
"""

import logging
import os
import re
import warnings
from typing import Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from promptsr.errors import ConfigError
from promptsr.ranks import join


def launch(device: str, precision: Literal["fp32", "bf16"]) -> tuple[Fabric, tuple[str, ...]]:
    """Joins the other processes, if there are any.

    Args:
        device: `auto`, or what torch calls the device of this process; many processes take one GPU each.
        precision: that of the arithmetic; weights are float32.

    Returns:
        The devices, and a sentence for what could not be had.

    Raises:
        ConfigError: no such device here.
    """
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    chosen = _device(device)
    if world > 1 and chosen.index is not None:
        raise ConfigError(f"device={device} names one device for {world} processes: give device={chosen.type}.")
    notes = []
    if precision == "bf16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        precision = "fp32"
        notes.append(f"{torch.cuda.get_device_name()} has no bfloat16, so the network is trained in float32.")
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
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric, tuple(notes)


def total(fabric: Fabric, value: Tensor) -> float:
    """The sum of a value over all devices; each of them must ask for it."""
    result = fabric.all_reduce(value, reduce_op="sum")
    assert isinstance(result, Tensor)
    return float(result)


def lost(error: RuntimeError) -> bool:
    """Whether this is how gloo or NCCL tell that another process has ended."""
    return dist.is_initialized() and bool(re.search(r"by peer|remote process exited|timed out", str(error), re.I))


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {name!r}: give cpu, cuda, cuda:1, or auto.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There is no {name} here: give device=cpu, or install torch for your GPU.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"Nothing is trained on {name}: give cpu, cuda, cuda:1, or auto.")
    return device
