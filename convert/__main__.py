"""`python -m convert`."""

from mimo_edge.cli import ConvertCommand
from mimo_edge.console import run_command

run_command(ConvertCommand("convert"))
