"""Draws results of the analyses with matplotlib; knows no model. One file per analysis."""
