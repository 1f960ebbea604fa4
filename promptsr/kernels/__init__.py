"""Kernels of attention: for the CPU, built at first use, and for GPUs; the network runs without them, more slowly.

`why_not()` says whether they are in use, `disabled()` switches them off for a while.
"""

from promptsr.kernels.build import disabled, why_not

__all__ = ["disabled", "why_not"]
