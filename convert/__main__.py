"""`python -m convert`."""

from mimo_edge.console import run_command

from .cli import convert_command

run_command(convert_command)
