"""Long work as generators: which of its steps are passed on, and that it ends with its caller."""

from collections.abc import Generator

import pytest

from promptsr.support.progress import finish, map_progress


@pytest.mark.parametrize(("pause", "expected"), [(0, ["1", "2", "a", "b", "3", "4"]), (3600, ["1", "a", "3"])])
def test_steps_of_one_type_are_left_out_within_the_pause(pause: float, expected: list[str]) -> None:
    closed: list[bool] = []

    def work() -> Generator[int | str, None, str]:
        try:
            yield from (1, 2, "a", "b", 3, 4)
            return "done"
        finally:
            closed.append(True)

    told: list[str] = []
    assert finish(map_progress(work(), str, pause), told.append) == "done"
    assert told == expected
    stopped = map_progress(work(), str, pause)
    next(stopped)
    stopped.close()
    assert closed == [True, True]
