"""Users of a page that other machines reach: names and passwords from the environment."""

import os
from ipaddress import ip_address

from promptsr.support.errors import UserError

USERS = "PROMPTSR_USERS"
"""Environment variable with a `name:password` for each person, with blanks between them."""
_LEAST = 10
"""Characters of a password."""


def users() -> list[tuple[str, str]]:
    """Return names and passwords.

    Raises:
        UserError: there are none, or one of them is unusable.
    """
    pairs = [tuple(entry.split(":", 1)) for entry in os.environ.get(USERS, "").split()]
    if not pairs:
        raise UserError(f"A public page needs users: set {USERS} to 'name:password', more of them after blanks.")
    found = []
    for number, pair in enumerate(pairs, start=1):
        if len(pair) != 2 or not pair[0] or len(pair[1]) < _LEAST:
            raise UserError(
                f"Entry {number} of {USERS} is no name:password with {_LEAST} characters or more after the colon."
            )
        found.append((pair[0], pair[1]))
    if len({name for name, _ in found}) < len(found):
        raise UserError(f"A name is in {USERS} twice: give everybody one of their own.")
    return found


def is_own(host: str) -> bool:
    """Return whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
