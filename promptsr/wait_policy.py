"""Chooses how torch's threads wait for each other when it is imported, before torch: OpenMP reads it then, and once.

By default a thread that waits keeps its core busy for milliseconds. Where another process wants that core, or a thread
of our kernels does, everything waits (benchmarks/against.py).
"""

import os
import sys

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_SPINS = 1000
"""Some hundredths of a millisecond: what follows at once is met awake."""


def _choose() -> None:
    """Make threads of OpenMP sleep soon, or at once in a process of low priority.

    Does nothing if one of OpenMP's variables says what is wanted, or if torch is loaded already.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _VARIABLES):
        return
    if os.name == "posix" and os.nice(0) > 0:
        os.environ["OMP_WAIT_POLICY"] = "passive"
    else:
        os.environ["GOMP_SPINCOUNT"] = str(_SPINS)


_choose()
