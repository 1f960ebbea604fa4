"""Scores over folders and benchmark sets, as in Table I of the paper, and the stability of results."""
