"""One file per question asked of the networks; each returns plain results that `figures` can draw."""
