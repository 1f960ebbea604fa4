"""`python -m tests.fuzz`: the full form, with new inputs every time; `make fuzz` runs it."""

import argparse
import sys
from pathlib import Path

from tests.fuzz.runner import fuzz
from tests.fuzz.targets import TARGETS

KEPT = Path("outputs") / "fuzz"


def main() -> int:
    """Prints what was tried; 1 if anything failed."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    arguments = parser.parse_args()
    chosen = arguments.names or names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    row = "{:20} {:>9} {:>9} {:>9} {:>7} {:>8}"
    print(row.format("target", "inputs", "taken", "refused", "failed", "seconds"))
    total = [0, 0, 0, 0]
    for name in chosen:
        found = fuzz("tests.fuzz.targets:TARGETS", name, 60 * arguments.minutes / len(chosen), KEPT / name)
        counts = [found.tried, found.taken, found.tried - found.taken - found.failed, found.failed]
        print(row.format(name, *counts, f"{found.seconds:.0f}"), flush=True)
        total = [a + b for a, b in zip(total, counts, strict=True)]
    print(row.format("all", *total, f"{60 * arguments.minutes:.0f}"))
    if total[3]:
        print(f"The inputs that failed lie in {KEPT}.")
    return int(total[3] > 0)


if __name__ == "__main__":
    sys.exit(main())
