"""Entry point of `python -m mimo_edge.chat`, which is `mimo-edge chat`."""

from .entry import start


def main() -> None:
    """Run the command `mimo-edge chat`."""
    start("mimo_edge.commands.chat", "chat")


if __name__ == "__main__":
    main()
