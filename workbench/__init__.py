"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""

import promptsr.wait_policy  # noqa: F401
import os

# Gradio reads these at import. They keep it from reporting runs, and from identifying callers of tools at
# huggingface.co.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
