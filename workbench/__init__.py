"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""

import os

import promptsr  # noqa: F401  # before torch: it chooses how threads wait

# Read when Gradio is imported. Else it tells its makers of some runs, and asks huggingface.co at every call of a tool
# who is calling.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
