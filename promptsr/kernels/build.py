"""Builds the kernels with the system's C++ compiler, once on each machine, and loads them.

Nothing is compiled at installation. The first use takes some seconds and leaves the library in the user's cache folder
(`PROMPTSR_CACHE`, else `XDG_CACHE_HOME/promptsr`, else `~/.cache/promptsr`). Without a compiler, or with
`PROMPTSR_KERNELS=off`, there are no kernels, and the network runs on plain torch.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptsr.errors import UserError, first_line
from promptsr.files import CACHE, cache_folder, replacing

SWITCH = "PROMPTSR_KERNELS"
_FOLDER = Path(__file__).parent
_SOURCES = ("global_attention.cpp", "group_attention.cpp", "token_layers.cpp")
_HEADERS = ("vectors.h", "blocks.h", "attention.h")
# Products may be fused into sums, but nothing is reordered, and NaN stays NaN.
_FLAGS = (
    *("-std=c++17", "-O3", "-fopenmp", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
_TARGETS = {
    "x86_64": ("-march=native", "-mprefer-vector-width=512"),
    "AMD64": ("-march=native", "-mprefer-vector-width=512"),
    "arm64": ("-mcpu=native",),
    "aarch64": ("-mcpu=native",),
}
_SECONDS = 300  # for the compiler
_disabled = 0
_loading = threading.Lock()


class NoKernelsError(Exception):
    """There are no kernels on this machine; the message says why, as a sentence."""


def why_not() -> str | None:
    """Why plain torch is used in place of the kernels, as a sentence; None while they are in use."""
    if _disabled:
        return "The kernels are switched off for now."
    return _load()[1]


# A compiled network keeps the answer that it was compiled with. This is what `torch.compiler.assume_constant_result`
# sets, but that loads the compiler first, which takes longer than all of torch, and most runs compile nothing.
why_not._dynamo_marked_constant = True  # type: ignore[attr-defined]


def library() -> ctypes.CDLL:
    """The kernels; ask `why_not` first."""
    loaded = _load()[0]
    assert loaded is not None
    return loaded


@contextmanager
def disabled() -> Iterator[None]:
    """Within this context the network runs on plain torch."""
    global _disabled
    _disabled += 1
    try:
        yield
    finally:
        _disabled -= 1


def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """The library, or why there is none. Whoever comes while it is being built waits for it."""
    with _loading:
        return _load_once()


@functools.cache
def _load_once() -> tuple[ctypes.CDLL | None, str | None]:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return None, f"The kernels are switched off by {SWITCH}."
    try:
        return ctypes.CDLL(str(_built(_command()))), None
    except NoKernelsError as error:
        return None, str(error)
    except OSError as error:
        return None, f"The kernels cannot be loaded: {error}."


def _command() -> list[str]:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise NoKernelsError(
            "There is no C++ compiler: install g++ or clang++ (or name one by CXX) for a faster network."
        )
    target = _TARGETS.get(platform.machine())
    if target is None or os.name != "posix":
        raise NoKernelsError(f"There are no kernels for {platform.system()} on {platform.machine()}.")
    return [*compiler.split(), *_FLAGS, *target]


def _built(command: list[str]) -> Path:
    """Path of the library that this command makes, which is run unless it was run before."""
    path = cache_folder() / f"kernels-{_fingerprint(command)}.so"
    if path.exists():
        return path
    try:
        with replacing(path) as temporary:
            _compile([*command, *(str(_FOLDER / name) for name in _SOURCES), "-o", str(temporary)])
    except UserError as error:
        raise NoKernelsError(f"The kernels cannot be kept: {error.__cause__}; name a folder by {CACHE}.") from error
    return path


def _compile(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NoKernelsError(f"The compiler {command[0]} failed: {first_line(error.stderr) or error}.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernelsError(f"The compiler {command[0]} cannot be run: {error}.") from error


def _fingerprint(command: list[str]) -> str:
    """Of all that decides what the library is: sources, command, and what this processor can do."""
    texts = [(_FOLDER / name).read_text() for name in (*_HEADERS, *_SOURCES)]
    return hashlib.sha256("\0".join([*texts, *command, _processor()]).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
