"""What every request passes before it reaches an endpoint, over HTTP and websockets alike.

From the outside in: `journal` (a line in the log), `containment` (a mistake ends one request),
`headers` on what goes out, `guard` (`hosts`, `origins`, the `keys`), and `bodies` (how much may
come, and how slowly).
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from ..options import ServerOptions
from ..sharing.metrics import Metrics
from .bodies import Bodies
from .containment import Containment
from .guard import Guard, KeyCheck, Sealed
from .headers import SafeHeaders
from .journal import Journal

__all__ = ["protected"]


def protected(
    app: ASGIApp, options: ServerOptions, metrics: Metrics, is_public: Callable[[Scope], bool]
) -> ASGIApp:
    """The application behind all checks; `is_public` says what is answered without a key."""
    app = Bodies(Sealed(app), options.limits)
    if options.api_key is not None:
        app = KeyCheck(app, options.api_key, is_public, metrics)
    if options.allowed_origins:
        # Outside of the key's check: a browser asks without a key whether it may send one.
        app = CORSMiddleware(
            app,
            allow_origins=options.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=["Retry-After"],
        )
    app = Guard(app, options, metrics)
    app = SafeHeaders(app, others=bool(options.allowed_origins))
    return Journal(Containment(app, log_text=options.log_text))
