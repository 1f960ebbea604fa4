"""Opens the workbench in the browser: `python app.py`, the same as `promptsr app`."""

import sys

from promptsr.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "app")
    main()
