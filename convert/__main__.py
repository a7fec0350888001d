"""`python -m convert`."""

from mimo_edge.entry import start

start("mimo_edge.commands.convert", "convert")
