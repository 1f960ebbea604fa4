"""Serves the workbench to visitors without a login, within `workbench.server.limits.PUBLIC`.

Checkpoints in a folder `models` beside this file are in all lists of models.
"""

import os
from pathlib import Path

from workbench.page import launch

if __name__ == "__main__":
    models = Path(__file__).resolve().with_name("models")
    if models.is_dir():
        os.environ.setdefault("PROMPTSR_MODELS", str(models))
    launch(public=True, login=False, open_browser=False)
