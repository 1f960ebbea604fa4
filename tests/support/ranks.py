"""Commands in processes of their own, also several under torchrun, and a network that counts its images."""

import os
import subprocess
import sys
from pathlib import Path

COUNTED = '''
"""A network that notes every LR image of the tests' sizes, and may be killed over one of them."""
import os, signal, torch
from pathlib import Path


class Counted(torch.nn.Module):
    def forward(self, image):
        if image.shape[2:] in ((20, 18), (19, 19)):
            with open("seen.txt", "a") as file:
                file.write("x")
            if os.environ.get("KILLED_AT") == str(Path("seen.txt").stat().st_size):
                os.kill(os.getpid(), signal.SIGKILL)
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


def build():
    return Counted()
'''
"""Text of a module `counted`, for `--model counted:build`."""


def run_ranks(
    folder: Path, module: str, *arguments: object, ranks: int = 1, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` in a folder, in one process or in several, which ends with a code."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", module, *map(str, arguments)]
    threads = {"OMP_NUM_THREADS": "1"}  # as torchrun sets it: threads change the last bits
    environment = os.environ | threads | environment
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    return done
