"""Kernels build themselves once, and whatever keeps them from it is a sentence, never an error."""

import os
import platform
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from promptsr import kernels
from promptsr.kernels import build
from tests.support.kernels import available

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import torch
from promptsr import build_model, kernels
torch.manual_seed(0)
network = build_model("promptsr-tiny", groups=1).requires_grad_(False)
print(tuple(network(torch.rand(1, 3, 9, 10)).shape))
print(kernels.why_not())
"""


def run(**environment: str) -> str:
    """Why there are no kernels in a process with these variables; the network runs in any case."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shape, reason = done.stdout.splitlines()
    assert shape == "(1, 3, 36, 40)" and done.stderr == ""
    return reason


@available
def test_built_once_and_found_again(tmp_path: Path) -> None:
    assert run(PROMPTSR_CACHE=str(tmp_path / "new")) == "None"
    [library] = (tmp_path / "new" / "kernels").iterdir()  # nothing half-built beside it
    changed = library.stat().st_mtime_ns
    assert run(PROMPTSR_CACHE=str(tmp_path / "new"), CXX=os.environ.get("CXX", "")) == "None"
    assert [path.stat().st_mtime_ns for path in (tmp_path / "new" / "kernels").iterdir()] == [changed]


@available
def test_processes_that_build_at_the_same_time_do_no_harm(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMPTSR_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate(timeout=200)[0].splitlines()[1] for process in running] == ["None", "None"]
    assert len(list((tmp_path / "kernels").iterdir())) == 1


THREADS = """
import threading
from promptsr import kernels
from promptsr.kernels import build
calls = []
compile_once = build._compile
build._compile = lambda command: (calls.append(command), compile_once(command))
threads = [threading.Thread(target=kernels.why_not) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(calls), kernels.why_not())
"""


@available
def test_threads_wait_for_the_one_that_builds(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMPTSR_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", THREADS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "1 None\n", done.stderr


REASONS = {
    "switched off": ({"PROMPTSR_KERNELS": "off"}, r"The kernels are switched off by PROMPTSR_KERNELS\."),
    "no compiler": (
        {"PATH": "{tmp}", "CXX": ""},
        r"There is no C\+\+ compiler: install g\+\+ or clang\+\+ \(or name one by CXX\) for a faster network\.",
    ),
    "not there": ({"CXX": "no-such-compiler"}, "The compiler no-such-compiler cannot be run: .*"),
    "fails": ({"CXX": "{tmp}/fails"}, r"The compiler .*/fails failed: error: this is no compiler\."),
    "no library": ({"CXX": "{tmp}/useless"}, "The kernels cannot be loaded: .*"),
    "no folder": (
        {"PROMPTSR_CACHE": "{tmp}/fails"},
        r"The kernels cannot be kept: .*; name a folder by PROMPTSR_CACHE\.",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_without_kernels_the_reason_is_a_sentence(case: str, tmp_path: Path) -> None:
    environment, reason = REASONS[case]
    for name, script in {
        "fails": "echo 'error: this is no compiler' >&2\necho more >&2\nexit 3\n",
        "useless": 'for last; do :; done\n[ "$last" = --version ] || echo "not a library" > "$last"\n',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / name).chmod(0o755)
    variables = {name: value.format(tmp=tmp_path) for name, value in environment.items()}
    assert re.fullmatch(reason, run(**{"PROMPTSR_CACHE": str(tmp_path / "cache"), **variables}))
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(left) == (case == "no library")


@pytest.fixture
def compiler(tmp_path: Path) -> str:
    """A compiler that is done at once: it hands out the library that this process uses."""
    made = tmp_path / "c++"
    made.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "{build.library()._name}" "$last"\n')
    made.chmod(0o755)
    return str(made)


@available
@pytest.mark.parametrize("content", [b"", b"\x7fELF of another machine", None], ids=["empty", "foreign", "no symbols"])
def test_a_broken_library_is_built_anew(tmp_path: Path, compiler: str, content: bytes | None) -> None:
    cache = {"PROMPTSR_CACHE": str(tmp_path), "CXX": compiler}
    assert run(**cache) == "None"
    [library] = (tmp_path / "kernels").iterdir()
    whole = library.stat().st_size
    if content is None:
        library.unlink()
        source = tmp_path / "nothing.c"
        source.write_text("int nothing;")
        subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
        library.chmod(0o700)
    else:
        library.write_bytes(content)
    assert run(**cache) == "None"
    assert [path.stat().st_size for path in (tmp_path / "kernels").iterdir()] == [whole]


PLANTED = """
#include <stdio.h>
__attribute__((constructor)) static void planted(void) { puts("planted code ran"); }
"""


@available
@pytest.mark.parametrize("way", ["file", "folder", "parent"])
def test_what_others_can_write_is_never_loaded(tmp_path: Path, compiler: str, way: str) -> None:
    """A library that says so when it is loaded, where another user could have put it."""
    cache = tmp_path / "open" / "cache"
    assert run(PROMPTSR_CACHE=str(cache), CXX=compiler) == "None"
    [library] = (cache / "kernels").iterdir()
    (tmp_path / "planted.c").write_text(PLANTED)
    subprocess.run(["cc", "-shared", "-fPIC", str(tmp_path / "planted.c"), "-o", str(library)], check=True)
    for path, mode in {
        "file": [(library, 0o777)],
        "folder": [(library, 0o700), (cache / "kernels", 0o777)],
        "parent": [(library, 0o700), (tmp_path / "open", 0o777)],
    }[way]:
        path.chmod(mode)
    assert run(PROMPTSR_CACHE=str(cache), CXX=compiler) == "None"  # nothing but its two lines was printed


@available
def test_without_a_home_the_library_is_of_this_process(tmp_path: Path, compiler: str) -> None:
    (tmp_path / "home").write_text("")  # a file: no folder can be made in it
    (tmp_path / "tmp").mkdir()
    environment = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": ""}
    assert run(PROMPTSR_CACHE="", CXX=compiler, **environment) == "None"
    assert list((tmp_path / "tmp").iterdir()) == []  # gone with the process, and its name was not to be guessed


def test_disabled_for_a_while() -> None:
    before = kernels.why_not()
    with kernels.disabled():
        with kernels.disabled():
            pass
        assert kernels.why_not() == "The kernels are switched off for now."
    assert kernels.why_not() == before


def test_every_source_is_compiled_and_belongs_to_the_package() -> None:
    folder = ROOT / "promptsr" / "kernels"
    sources = {path.name for path in folder.iterdir() if path.suffix in (".cpp", ".h")}
    assert sources == {*build._SOURCES, *build._HEADERS}
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["promptsr"]
    assert all(any(fnmatch(f"kernels/{name}", pattern) for pattern in data) for name in sources)


def test_another_processor_or_source_is_another_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = ["c++", "-O3"]
    monkeypatch.setattr(build, "_version", lambda command: "c++ 12")
    mine = build._fingerprint(command)
    assert build._fingerprint(command) == mine != build._fingerprint([*command, "-g"])
    for module, name, value in (
        (build, "_processor", "flags: fewer"),
        (build, "_version", "c++ 13"),
        (platform, "libc_ver", ("glibc", "2.99")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda *_, value=value: value)
            assert build._fingerprint(command) != mine
    for name in (*build._SOURCES, *build._HEADERS):
        (tmp_path / name).write_text((build._FOLDER / name).read_text() + "\n")
    monkeypatch.setattr(build, "_FOLDER", tmp_path)
    assert build._fingerprint(command) != mine
