"""Opens the workbench in the browser: `python app.py`, the same as `promptsr app`."""

from workbench.page import launch

if __name__ == "__main__":
    launch()
