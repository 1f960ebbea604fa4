"""`promptsr train` that is killed after a step and some CPU time more, however busy the machine is."""

import os
import signal
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from promptsr import cli
from promptsr.training.run import Run

STEP, SECONDS = int(os.environ["DIES_AFTER"]), float(os.environ.get("DIES_IN", "0"))
"""The step, and the CPU time that this process uses after it."""

_here = os.environ.get("RANK", "1") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
_advance = Run.advance


def _advance_and_die(run: Run, micro_batches: Iterator[Any]) -> tuple[Tensor, Tensor]:
    done = _advance(run, micro_batches)
    if _here and run.step == STEP:
        signal.setitimer(signal.ITIMER_PROF, max(SECONDS, 1e-6))  # SIGPROF: as sudden as SIGKILL
    return done


if __name__ == "__main__":
    Run.advance = _advance_and_die  # type: ignore[assignment, method-assign]
    cli.main()
