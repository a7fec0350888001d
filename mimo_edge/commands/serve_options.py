"""The options of `mimo-edge serve` that are about the server: where it listens, who may use it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import BadInputError
from ..server.options import Limits, ServerOptions
from ..tasks import Overrides
from .console import Console
from .option_kinds import option_group

__all__ = ["KEY_VARIABLE", "ServeOptions", "serve_options"]

KEY_VARIABLE = "MIMO_EDGE_API_KEY"
_LARGEST_KEY_FILE = 10_000
_MB = 2**20
_COUNT = click.IntRange(min=1)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the command line says of the server."""

    host: str
    port: int
    api_key: str | None
    api_key_file: Path | None
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    strict: bool
    voices: Path | None
    no_page: bool
    log_text: bool
    requests: int
    queue: int
    conversations: int | None
    cache_positions: int | None
    max_upload_mb: int
    max_upload_minutes: int
    time_limit: int
    idle_minutes: int
    session_minutes: int

    def server_options(self, overrides: Overrides, console: Console) -> ServerOptions:
        """The same for the server.

        Raises:
            MimoEdgeError: a value has no meaning, the file of the key cannot be read, or others
                could use the server without a key.
        """
        upload = self.max_upload_mb * _MB
        limits = Limits(
            upload_bytes=upload,
            upload_seconds=60.0 * self.max_upload_minutes,
            body_bytes=max(Limits.json_bytes, upload + 10 * _MB),
            bodies_bytes=max(Limits.bodies_bytes, 2 * (upload + 10 * _MB)),
            running=self.requests,
            waiting=self.queue,
            conversations=self.conversations,
            request_s=60.0 * self.time_limit,
            idle_s=60.0 * self.idle_minutes,
            session_s=60.0 * self.session_minutes,
        )
        return ServerOptions(
            host=self.host,
            port=self.port,
            api_key=self._key(console),
            allowed_hosts=self.allow_host,
            allowed_origins=self.allow_origin,
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
            strict=self.strict,
            page=not self.no_page,
            voices=self.voices,
            log_text=self.log_text,
            overrides=overrides,
            limits=limits,
        )

    def _key(self, console: Console) -> str | None:
        if self.api_key_file is None:
            return self.api_key or os.environ.get(KEY_VARIABLE) or None
        if self.api_key is not None:
            raise BadInputError("give --api-key or --api-key-file, not both.")
        try:
            with self.api_key_file.open("rb") as file:
                readable = os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o044
                # "-sig": editors on Windows may put a byte order mark in front.
                lines = file.read(_LARGEST_KEY_FILE).decode("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise BadInputError(
                f"{self.api_key_file} cannot be read ({reason}); give a file with the key on its "
                "first line."
            ) from error
        if readable:
            console.warn(
                f"others of this machine can read {self.api_key_file}; `chmod 600` keeps the key "
                "secret."
            )
        return lines[0].strip()


serve_options = option_group(
    "server",
    ServeOptions,
    click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="Address to listen on; others than this machine's own need a key. "
        "0.0.0.0: all networks.",
    ),
    click.option("--port", default=8000, show_default=True, help="Port; 0: any free one."),
    click.option(
        "--api-key",
        metavar="KEY",
        show_default=f"${KEY_VARIABLE}",
        help="Key that callers have to show. Whoever uses this machine sees it here in the list "
        "of programs (`ps`); the variable or a file are better.",
    ),
    click.option(
        "--api-key-file",
        type=click.Path(path_type=Path),
        help="File with the key on its first line.",
    ),
    click.option(
        "--allow-host",
        multiple=True,
        metavar="NAME",
        help="A name of this server, besides IP addresses, localhost and *.local: "
        "speech.example.org, *.example.org.",
    ),
    click.option(
        "--allow-origin",
        multiple=True,
        metavar="ORIGIN",
        help="A web page of another address that may use the server: https://app.example.org.",
    ),
    click.option(
        "--tls-cert",
        type=click.Path(path_type=Path),
        help="Certificate (PEM) for https; browsers on other machines allow no microphone without.",
    ),
    click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM)."),
    click.option("--no-page", is_flag=True, help="No page at /."),
    click.option(
        "--voices",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        show_default="in your data folder",
        help="Where uploaded voices are kept.",
    ),
    click.option("--strict", is_flag=True, help="Refuse parameters that have no effect here."),
    click.option(
        "--log-text",
        is_flag=True,
        help="Mistakes of the server may put what was said into the log.",
    ),
    click.option(
        "--requests",
        type=_COUNT,
        default=Limits.running,
        show_default=True,
        help="Requests that are worked on at once.",
    ),
    click.option(
        "--queue",
        type=_COUNT,
        default=Limits.waiting,
        show_default=True,
        help="Requests that may wait; more are refused (429).",
    ),
    click.option(
        "--conversations",
        type=click.IntRange(1, 32),
        show_default="what the measured speed carries",
        help="Live conversations at once; more are refused.",
    ),
    click.option(
        "--cache-positions",
        type=_COUNT,
        show_default="as many as --ctx",
        help="Positions of all conversations and requests that stay in memory together; what finds "
        "no room is evaluated again when it goes on.",
    ),
    click.option(
        "--max-upload-mb",
        type=_COUNT,
        default=Limits.upload_bytes // _MB,
        show_default=True,
        help="Largest file.",
    ),
    click.option(
        "--max-upload-minutes",
        type=_COUNT,
        default=round(Limits.upload_seconds / 60),
        show_default=True,
        help="Longest recording.",
    ),
    click.option(
        "--time-limit",
        type=_COUNT,
        default=round(Limits.request_s / 60),
        show_default=True,
        metavar="MINUTES",
        help="Longest time for one request.",
    ),
    click.option(
        "--idle-minutes",
        type=_COUNT,
        default=round(Limits.idle_s / 60),
        show_default=True,
        help="A live conversation in which nothing happens is ended.",
    ),
    click.option(
        "--session-minutes",
        type=_COUNT,
        default=round(Limits.session_s / 60),
        show_default=True,
        help="Longest live conversation.",
    ),
)
