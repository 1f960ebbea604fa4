"""A page for other machines: only with a login, only with names and passwords that are worth the name."""

import pytest

from promptsr.support.errors import UserError
from workbench.page import launch
from workbench.server.access import USERS, is_own, users


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "A public page needs users: set PROMPTSR_USERS to 'name:password'"),
        ("  ", "A public page needs users"),
        ("ada", "Entry 1 of PROMPTSR_USERS is no name:password"),
        ("ada:long-enough-word :long-enough-word", "Entry 2"),
        ("ada:short", "Entry 1 of PROMPTSR_USERS is no name:password with 10 characters or more"),
        ("ada:long-enough-word ada:another-long-one", "A name is in PROMPTSR_USERS twice"),
    ],
)
def test_a_public_page_does_not_start_without_users(
    monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    monkeypatch.delenv(USERS, raising=False)
    if value is not None:
        monkeypatch.setenv(USERS, value)
    with pytest.raises(UserError, match=message) as refusal:
        launch(public=True, open_browser=False)
    assert "long-enough-word" not in str(refusal.value) and "short" not in str(refusal.value)


def test_users_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USERS, "ada:with:a:colon\nbob:another-long-one")
    assert users() == [("ada", "with:a:colon"), ("bob", "another-long-one")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_other_machines_reach_only_a_public_page(host: str) -> None:
    assert not is_own(host)
    with pytest.raises(UserError, match="add --public"):
        launch(host=host, open_browser=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.53"])
def test_this_machine_is_its_own(host: str) -> None:
    assert is_own(host)


def test_assistants_are_not_served_in_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USERS, "ada:long-enough-word")
    with pytest.raises(UserError, match="leave out --mcp or --public"):
        launch(public=True, mcp=True, open_browser=False)
