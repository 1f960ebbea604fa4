"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""

import promptsr.wait_policy  # noqa: F401
import os
import sys

# Gradio reads these at import. They keep it from reporting runs, and from identifying callers of tools at
# huggingface.co.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

# Gradio also imports the Model Context Protocol wherever that is installed, which takes more than a second. None says
# that it is not installed; `page.launch` imports it where it is wanted.
if "mcp" not in sys.modules:
    sys.modules["mcp"] = None  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        del sys.modules["mcp"]
