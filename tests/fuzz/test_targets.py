"""The quick form: the same few inputs of every target, every time."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Target, attempt
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore")  # damaged files are also warned of


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_but_documented_errors(target: Target, tmp_path: Path) -> None:
    taken = []

    @settings(max_examples=target.quick, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def holds(case: Any) -> None:
        taken.append(attempt(target, case, tmp_path))

    holds()
    assert len(taken) >= target.quick // 2
    assert target.name in ("decode-spliced", "model-name") or 0 < sum(taken) < len(taken), "all is taken, or refused"
