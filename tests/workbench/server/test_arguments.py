"""Values that come over the network, held against the signatures of the handlers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptsr.support.errors import UserError
from workbench.server.arguments import checker

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=5,
)


def handler(
    count: int, name: str | None, names: list[str], share: float, flag: bool, state: dict[str, int]
) -> None: ...


GOOD: list[Any] = [3, None, ["a"], 0.5, True, {"kept": 1}]


@given(st.lists(JSON, min_size=6, max_size=6))
def test_what_passes_is_of_the_kind_that_the_signature_names(values: list[Any]) -> None:
    try:
        count, name, names, share, flag, state = checker(handler)(*values)
    except UserError as error:
        assert " must be " in str(error) and len(str(error)) < 300
        return
    assert type(count) is int and abs(count) < 2**31
    assert name is None or type(name) is str
    assert type(names) is list and all(type(each) is str for each in names)
    assert type(share) is float and math.isfinite(share)
    assert type(flag) is bool
    assert state is values[-1] and state is not None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 2**31, "count must be a whole number, not 2147483648."),
        pytest.param(0, 10**5000, "count must be a whole number, not this.", id="5000 digits"),
        (0, 0.5, "count must be a whole number, not 0.5."),
        (0, None, "count must be a whole number, not nothing."),
        (1, "x" * 1001, "name must be text of up to 1000 characters or nothing, not 'xxxxx"),
        (2, ["a", 3], "names must be a list, each of it text of up to 1000 characters, not"),
        (2, ["a"] * 1001, "names must be a list"),
        (3, math.nan, "share must be a number, not nan."),
        (3, math.inf, "share must be a number, not inf."),
        (4, "yes", "flag must be true or false, not 'yes'."),
        (5, None, "There is nothing here yet: begin with the button of this tab."),
    ],
)
def test_other_values_are_refused_by_the_name_of_the_field(place: int, value: Any, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        checker(handler)(*GOOD[:place], value, *GOOD[place + 1 :])
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    "function", [partial(handler, 3), lambda *values: None, lambda value: None], ids=["partial", "any number", "bare"]
)
def test_what_says_nothing_of_its_values_takes_them_all(function: Callable[..., None]) -> None:
    given: list[Any] = [None, ["a"], 0.5, True, {}] if isinstance(function, partial) else [object()]
    assert checker(function)(*given) == given


def test_a_session_may_keep_nothing_where_the_signature_says_so() -> None:
    def later(kept: dict[str, int] | None, anything: Any) -> None: ...

    assert checker(later)(None, None) == [None, None]


def test_whole_numbers_may_come_as_others_do() -> None:
    assert checker(handler)(3.0, "x", [], 1, False, {})[:4] == [3, "x", [], 1.0]
