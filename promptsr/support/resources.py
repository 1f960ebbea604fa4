"""Free memory of this machine."""

from pathlib import Path

_SYSTEM, _OWN_GROUPS, _GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process can still get, swap included; None where the system does not tell (no Linux).

    Limits of control groups count, such as those of a container.
    """
    try:
        system = _table(_SYSTEM)
        free = [1024 * (system["MemAvailable:"] + system.get("SwapFree:", 0))]
    except (OSError, ValueError, KeyError):
        return None
    try:
        own = [line.split(":", 2) for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        own = []
    for _, controllers, path in own:
        if controllers == "":  # version 2
            top, names, cached = _GROUPS, ("max", "current"), "inactive_file"
        elif controllers == "memory":  # version 1
            top, names, cached = _GROUPS / "memory", ("limit_in_bytes", "usage_in_bytes"), "total_inactive_file"
        else:
            continue
        group = top / path.lstrip("/")
        for each in (group, *group.parents):
            if each.is_relative_to(top):
                try:
                    limit, used = (int((each / f"memory.{name}").read_text(encoding="ascii")) for name in names)
                    free.append(max(0, limit - used + _table(each / "memory.stat")[cached]))
                except (OSError, ValueError, KeyError):  # hidden from a container, or without a limit
                    continue
    return min(free)


def _table(path: Path) -> dict[str, int]:
    """Read lines of a name and a whole number."""
    lines = path.read_text(encoding="ascii").splitlines()
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) > 1}
