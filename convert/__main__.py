"""`python -m convert`."""

from mimo_edge.cli import ConvertCommand
from mimo_edge.program import run_command

run_command(ConvertCommand("convert"))
