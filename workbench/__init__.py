"""The workbench: a page in the browser, one file per tab. Everything it knows comes from `promptsr` and `analysis`."""
