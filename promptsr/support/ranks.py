"""Sharing work among the processes that `torchrun` starts.

torchrun --nproc-per-node 4 -m promptsr evaluate ...
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

Part = TypeVar("Part")
_TIMEOUT = timedelta(days=7)  # one rank may have much more to do than another


@dataclass(frozen=True)
class Ranks:
    """Place of this process among several."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """True in the process that writes files and prints results, and in a process on its own."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()

    def gather(self, part: Part) -> list[Part]:
        """Gather the values of all processes, by rank, in every process."""
        if self.world == 1:
            return [part]
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, part)
        return parts


ALONE = Ranks()


def started() -> Ranks:
    """Read from the environment that `torchrun` sets which process this is, before it joins the others."""
    return Ranks(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


def join(backend: str, timeout: timedelta | None = None) -> None:
    """Make the process group of torch.distributed from the environment that `torchrun` has set.

    Unlike in torch's own way, restarted processes do not read the addresses that the ones before them have left in the
    store (seen with torch 2.13: they then wait for each other, most of the time in vain).

    Args:
        backend: gloo, nccl, ...
        timeout: how long to wait for another process; default: torch's.
    """
    store, rank, world = next(rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    fresh = PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=fresh, rank=rank, world_size=world, timeout=timeout)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes if the environment says that there are any (RANK and WORLD_SIZE, from `torchrun`).

    Of several GPUs each process of a machine then has one of its own, which "cuda" means to it.
    """
    ranks = started()
    if ranks.world == 1:
        yield ranks
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    join("gloo", _TIMEOUT)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
