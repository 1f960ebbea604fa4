"""Shared by all analyses: figure style, overlays, samples, image windows, the token grid, intervals."""
