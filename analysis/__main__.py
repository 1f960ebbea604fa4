"""`python -m analysis` starts the command line of the analyses."""

from analysis.cli import main

main()
