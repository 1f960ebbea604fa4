"""Evaluation as in Table I of the paper: several models over the benchmark sets, beside the scores that it prints."""
