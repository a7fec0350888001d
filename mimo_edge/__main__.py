"""Entry point of `mimo-edge` and `python -m mimo_edge`."""

from .entry import start


def main() -> None:
    """Run the command `mimo-edge`."""
    start("mimo_edge.commands.cli", "cli")


if __name__ == "__main__":
    main()
