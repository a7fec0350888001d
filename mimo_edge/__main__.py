"""`python -m mimo_edge`."""

from .cli import main

main()
