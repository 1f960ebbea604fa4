"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""

import promptsr.wait_policy  # noqa: F401
import os

# Read when Gradio is imported. Else it tells its makers of some runs, and asks huggingface.co at every call of a tool
# who is calling.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
