"""The printed tables of the paper as data."""
