"""`mimo-edge talk`: a spoken conversation with a model on another machine.

Nothing of a model of this machine is loaded for it.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..remote.address import KEY_VARIABLE, ServerAddress, key_for, realtime_url
from ..remote.client_events import RemoteSettings
from .console import Console
from .inputs import check_recordings
from .live_options import LiveOptions, check_combination, live_options, show_devices
from .option_kinds import TEXT, option_group, output_options
from .recorded_chat import RecordedChat, answers_folder, recorded_options
from .remote_partner import RemotePartner

__all__ = ["talk"]


def _settings(
    system: str | None,
    voice: str | None,
    text_only: bool,
    transcribe: bool,
    transcriber: str,
    max_new_tokens: int | None,
) -> RemoteSettings:
    return RemoteSettings(
        instructions=system,
        voice=voice,
        speaks=not text_only,
        transcriber=transcriber if transcribe else None,
        max_tokens=max_new_tokens,
    )


_settings_options = option_group(
    "settings",
    _settings,
    click.option("--system", type=TEXT, help="Instructions for the whole conversation."),
    click.option("--voice", metavar="NAME", help="One of the server's voices."),
    click.option("--text-only", is_flag=True, help="Answer in text."),
    click.option("--transcribe", is_flag=True, help="Write what you say down, too."),
    click.option(
        "--transcriber",
        metavar="NAME",
        default="gpt-4o-mini-transcribe",
        show_default=True,
        help="Model that the server writes it down with; `mimo-edge serve` uses its own.",
    ),
    click.option(
        "--max-new-tokens",
        type=click.IntRange(min=1),
        show_default="the server's limit",
        help="Longest answer, in the server's tokens.",
    ),
)


def _address(
    url: str | None,
    model: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    ca: Path | None,
    insecure: bool,
) -> ServerAddress | None:
    if url is None:
        return None
    whole = realtime_url(url, model)
    given = api_key if api_key is not None else api_key_file
    return ServerAddress(
        url=whole, api_key=key_for(whole, given, os.environ), ca=ca, insecure=insecure
    )


_address_options = option_group(
    "address",
    _address,
    click.argument("url", required=False),
    click.option("--model", metavar="NAME", help="Model to ask for, where there are several."),
    click.option(
        "--api-key",
        metavar="KEY",
        help="Key of the server. Other users of this machine can see it here.",
    ),
    click.option(
        "--api-key-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        show_default=f"${KEY_VARIABLE}; for OpenAI's servers $OPENAI_API_KEY",
        help="File with the key.",
    ),
    click.option(
        "--ca",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Certificate to trust, for a server whose own is self-made.",
    ),
    click.option("--insecure", is_flag=True, help="Trust any certificate: others may listen."),
)


@click.command()
@_address_options
@recorded_options
@_settings_options
@click.option("--list-devices", is_flag=True, help="Show microphones and speakers, and end.")
@live_options
@output_options
def talk(
    address: ServerAddress | None,
    inputs: tuple[str, ...],
    output: Path | None,
    suffix: str,
    settings: RemoteSettings,
    list_devices: bool,
    live: LiveOptions,
    console: Console,
) -> None:
    """Talk with the server at URL: `mimo-edge serve`, or another with OpenAI's Realtime API.

    URL is http://host:8000, https://host/v1 or wss://host/v1/realtime. Through microphone and
    speaker, or one recorded turn per --input. Live, Ctrl-C ends the turn in progress; pressed
    again, the program.
    """
    if list_devices:
        show_devices(console)
        return
    if address is None:
        raise click.UsageError("Missing argument 'URL'.")
    check_combination(live=not inputs)
    check_recordings(inputs)
    if output is not None:
        folder = answers_folder(output, inputs, suffix, speaks=settings.speaks)
        click.get_current_context().with_resource(folder)
    if not inputs:
        live.check(speaks=settings.speaks)
    if address.api_key and not (address.encrypted or address.is_here):
        console.warn(
            f"the way to {address.host} is not encrypted: whoever is on it can read the key and "
            "hear you; https:// is, if the server has a certificate."
        )
    partner = RemotePartner.connect(address, settings, console)
    if inputs:
        _ask(partner, inputs, output, suffix, console)
        return
    try:
        live.talk(partner.live, console)
    finally:
        if live.recorded is not None:
            console.note(f"both sides and a transcript are in {live.recorded}")
            console.record(event="saved", session=None, recording=live.recorded)


def _ask(
    partner: RemotePartner,
    inputs: tuple[str, ...],
    output: Path | None,
    suffix: str,
    console: Console,
) -> None:
    if partner.settings.speaks and output is None:
        console.warn(
            "the sound of the answers is not kept: --output DIR writes it, --text-only "
            "answers in text."
        )
    with partner.recorded(console) as ask:
        RecordedChat(
            console=console, ask=ask, continued=False, output=output, suffix=suffix
        ).answer(inputs)
