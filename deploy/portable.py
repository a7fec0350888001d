"""An environment with the llama.cpp of a wheelhouse, which runs everywhere: `make portable`.

    python -m deploy.portable [--venv .venv-portable] [--within SECONDS] [--without-amx]

`make test-portable` tests in it what people without a compiler get.

Uses nothing but Python's own library.
"""

from __future__ import annotations

import sys

from .llama_builds import make_environment, options_of
from .wheelhouse import EXTRAS, portable_build


def main() -> int:
    """Make the environment; exit status 1 with a sentence if that is not possible here."""
    options = options_of("portable", "An environment whose llama.cpp runs everywhere.").parse_args()
    return make_environment(
        "portable", EXTRAS, lambda: portable_build(without_amx=options.without_amx), options
    )


if __name__ == "__main__":
    sys.exit(main())
