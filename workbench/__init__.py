"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""

import os

# Gradio's client asks Hugging Face who is asking, and tells it so, at the first call of a tool; before it is imported.
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
