"""Tables as files."""

from pathlib import Path

import pandas as pd

from promptsr.support.files import write_text


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, all or nothing.

    Raises:
        UserError: the path cannot be written.
    """
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
