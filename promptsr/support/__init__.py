"""Shared by all rooms: errors, files, progress of generators, processes of a run, Markdown tables."""
