"""Values that come over the network, held against the signatures of the handlers."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptsr.support.errors import UserError
from workbench.server.arguments import Flag, Real, Text, Texts, Whole, validated

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True)
class Kept:
    """Session state."""

    pixels: torch.Tensor


def handler(count: Whole, name: Text | None, names: Texts, share: Real, flag: Flag, state: Kept) -> list[Any]:
    return [count, name, names, share, flag, state]


GOOD: list[Any] = [3, None, ["a"], 0.5, True, Kept(torch.zeros(1))]
check = validated(handler)


@given(st.lists(JSON, min_size=5, max_size=5))
def test_what_passes_is_of_the_kind_that_the_signature_names(values: list[Any]) -> None:
    try:
        count, name, names, share, flag, state = check(*values, GOOD[5])
    except UserError as error:
        assert " must " in str(error) and len(str(error)) < 300
        return
    assert type(count) is int and abs(count) < 2**31
    assert name is None or type(name) is str
    assert type(names) is list and all(type(each) is str for each in names)
    assert type(share) is float and math.isfinite(share)
    assert type(flag) is bool
    assert state is GOOD[5]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 2**31, "count must be less than 2147483648, not 2147483648."),
        pytest.param(0, 10**5000, "count must be less than 2147483648, not this.", id="5000 digits"),
        (0, 0.5, "count must be a valid integer, not 0.5."),
        (0, None, "count must be a valid integer, not nothing."),
        (1, "x" * 1001, "name must have at most 1000 characters, not 'xxxxx"),
        (2, ["a", 3], "names must be a valid string, not 3."),
        (2, ["a"] * 1001, "names must have at most 1000 items"),
        (3, math.nan, "share must be a finite number, not nan."),
        (3, math.inf, "share must be a finite number, not inf."),
        (4, "yes", "flag must be a valid boolean, not 'yes'."),
        (5, None, "There is nothing here yet: begin with the button of this tab."),
    ],
)
def test_other_values_are_refused_by_the_name_of_the_field(place: int, value: Any, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        check(*GOOD[:place], value, *GOOD[place + 1 :])
    assert str(refusal.value).startswith(message)


def test_whole_numbers_may_come_as_others_do() -> None:
    assert check(3.0, "x", [], 1, False, GOOD[5])[:4] == [3, "x", [], 1.0]
