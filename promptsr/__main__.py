"""`python -m promptsr`."""

from promptsr.cli import main

main()
