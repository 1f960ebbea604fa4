"""Build of the kernels with the system's C++ compiler, once on each machine, and their loading.

Nothing is compiled at installation. The first use takes some seconds and leaves the library in the folder `kernels` of
the user's cache (`PROMPTSR_CACHE`, else `XDG_CACHE_HOME/promptsr`, else `~/.cache/promptsr`). Only a library that this
user owns and no other can write is loaded; where there is no such folder, each process builds its own. Without a
compiler, or with `PROMPTSR_KERNELS=off`, there are no kernels, and the network runs on plain torch.
"""

import _ctypes
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from promptsr.support.errors import UserError, first_line
from promptsr.support.files import CACHE, cache_folder, is_private, private_folder, replacing

SWITCH = "PROMPTSR_KERNELS"
_FOLDER = Path(__file__).parent
_SOURCES = ("global_attention.cpp", "group_attention.cpp", "token_layers.cpp")
_HEADERS = ("threads.h", "vectors.h", "blocks.h", "attention.h")
# Products may be fused into sums, but nothing is reordered, and NaN stays NaN.
_FLAGS = (
    *("-std=c++17", "-O3", "-pthread", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
_TARGETS = {
    "x86_64": ("-march=native", "-mprefer-vector-width=512"),
    "AMD64": ("-march=native", "-mprefer-vector-width=512"),
    "arm64": ("-mcpu=native",),
    "aarch64": ("-mcpu=native",),
}
_SYMBOLS = tuple(
    name + suffix for name in ("attend_all", "attend_groups", "token_layers") for suffix in ("", "_backward")
)
_SECONDS = 300  # for the compiler
_disabled = 0
_loading = threading.Lock()


class NoKernelsError(Exception):
    """There are no kernels on this machine; the message says why, as a sentence."""


def why_not() -> str | None:
    """Return why plain torch is used in place of the kernels, as a sentence; None while they are in use."""
    if _disabled:
        return "The kernels are switched off for now."
    return _load()[1]


# A compiled network keeps the answer that it was compiled with. This is what `torch.compiler.assume_constant_result`
# sets, but that loads the compiler first, which takes longer than all of torch, and most runs compile nothing.
why_not._dynamo_marked_constant = True  # type: ignore[attr-defined]


def library() -> ctypes.CDLL:
    """Return the kernels; ask `why_not` first."""
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
    """Return the library, or why it is missing. Concurrent callers block until it is built."""
    with _loading:
        return _load_once()


@functools.cache
def _load_once() -> tuple[ctypes.CDLL | None, str | None]:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return None, f"The kernels are switched off by {SWITCH}."
    try:
        command = _command()
        path = _library_folder() / f"kernels-{_fingerprint(command)}.so"
        if path.exists() and is_private(path):
            with suppress(OSError, AttributeError):
                return _opened(path), None
        # It is missing, damaged, foreign or open to others: a new one takes its place.
        _build(command, path)
        return _opened(path), None
    except NoKernelsError as error:
        return None, str(error)
    except (OSError, AttributeError) as error:
        return None, f"The kernels cannot be loaded: {first_line(str(error))}."


def _opened(path: Path) -> ctypes.CDLL:
    """Load the library; AttributeError if it lacks a kernel, OSError if it is not a library."""
    loaded = ctypes.CDLL(str(path))
    try:
        for symbol in _SYMBOLS:
            getattr(loaded, symbol).restype = ctypes.c_int64
    except AttributeError:
        _ctypes.dlclose(loaded._handle)  # else its name would stand for it, whatever lies there later
        raise
    return loaded


def _library_folder() -> Path:
    """Return the folder of libraries, in which no other user may put one."""
    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise NoKernelsError(f"The kernels cannot be kept: {error}; name a folder by {CACHE}.") from error
    return folder if is_private(folder) else private_folder()


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


def _build(command: list[str], path: Path) -> None:
    try:
        with replacing(path) as temporary:
            _compile([*command, *(str(_FOLDER / name) for name in _SOURCES), "-o", str(temporary)])
        path.chmod(0o700)
    except UserError as error:
        raise NoKernelsError(f"The kernels cannot be kept: {error.__cause__}; name a folder by {CACHE}.") from error


def _compile(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NoKernelsError(f"The compiler {command[0]} failed: {first_line(error.stderr) or error}.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernelsError(f"The compiler {command[0]} cannot be run: {error}.") from error


def _fingerprint(command: list[str]) -> str:
    """Hash of the sources, the compiler's command and version, the C library's version and the processor's flags."""
    texts = [(_FOLDER / name).read_text(encoding="utf-8") for name in (*_HEADERS, *_SOURCES)]
    about = [_version(command), " ".join(platform.libc_ver()), _processor()]
    return hashlib.sha256("\0".join([*texts, *command, *about]).encode()).hexdigest()[:16]


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run([command[0], "--version"], capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # building will say what is wrong
    return done.stdout


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
