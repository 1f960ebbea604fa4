"""Failure cases: the windows where one model loses most to others, as a study and a report."""
