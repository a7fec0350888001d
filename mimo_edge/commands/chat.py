"""`mimo-edge chat`: a spoken conversation, live or over recorded files."""

from __future__ import annotations

from pathlib import Path

import click

from ..answer import OnText
from ..atomic import check_output
from ..errors import BadInputError
from ..model import MimoAudio
from ..prompt.prompts import Reply
from ..session import Session
from ..tasks import Overrides
from .console import Console
from .inputs import check_apart, check_recordings
from .live_options import LiveOptions, check_combination, live_options, show_devices
from .local_partner import local_partner
from .options import TEXT, ModelOptions, model_options, output_options, sampling_options
from .recorded_chat import Asked, RecordedChat, answers_folder, recorded_options
from .signals import deferred

__all__ = ["chat"]

_LIVE_LOOKAHEAD = 32
"""Mel frames (0.32 s) that live speech waits for; the table in the README says what it costs."""


@click.command()
@recorded_options
@click.option("--system", type=TEXT, help="Instructions for the whole conversation.")
@click.option("--voice", metavar="AUDIO", help="A recording whose voice the answers use.")
@click.option("--text-only", is_flag=True, help="Answer in text.")
@click.option("--think", is_flag=True, help="Answer in text after thinking aloud.")
@click.option("--transcribe", is_flag=True, help="Write what you say down, too.")
@click.option("--list-devices", is_flag=True, help="Show microphones and speakers, and end.")
@live_options
@click.option(
    "--lookahead",
    type=click.IntRange(min=0),
    default=_LIVE_LOOKAHEAD,
    show_default=True,
    help="Frames of 10 ms that live speech waits for: fewer sound sooner, more sound better.",
)
@click.option(
    "--save-session",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the conversation down when it is over, to go on later.",
)
@click.option(
    "--load-session",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on with a conversation that was saved.",
)
@model_options
@sampling_options
@output_options
def chat(
    inputs: tuple[str, ...],
    output: Path | None,
    suffix: str,
    system: str | None,
    voice: str | None,
    text_only: bool,
    think: bool,
    transcribe: bool,
    list_devices: bool,
    save_session: Path | None,
    load_session: Path | None,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
    live: LiveOptions,
    lookahead: int,
) -> None:
    """Talk with the model: through microphone and speaker, or one recorded turn per --input.

    Live, Ctrl-C ends the turn in progress; pressed again, the program.
    """
    if list_devices:
        show_devices(console)
        return
    check_combination("lookahead", live=not inputs)
    if load_session is not None and (system or voice):
        raise BadInputError(
            "--system and --voice belong to the start of a conversation; "
            "leave them out with --load-session."
        )
    check_recordings([*inputs, voice])
    reply: Reply | None = "thinking" if think else "text" if text_only else None
    if output is not None:
        folder = answers_folder(
            *(output, inputs, suffix),
            speaks=reply is None,
            continued=load_session is not None,
            voice=voice,
        )
        click.get_current_context().with_resource(folder)
    # A recording makes its folder when it begins.
    if save_session is not None and save_session.parent != live.record:
        check_output(save_session)
        check_apart([*inputs, voice], [save_session])
    if not inputs:
        live.check(speaks=reply is None)  # before seconds of loading
    with (
        options.load(console, "converse") as model,
        _open_session(model, load_session, reply, system, voice, overrides) as session,
    ):
        speaks = (reply or session.reply) == "speech"
        try:
            if not inputs:
                with console.busy("warming up"):
                    model.warm_up(lookahead)
                partner = local_partner(
                    model, session, speaks=speaks, lookahead=lookahead, transcribe=transcribe
                )
                live.talk(partner, console)
                return
            if speaks and output is None:
                console.warn(
                    "the sound of the answers is not kept: --output DIR writes it, --text-only "
                    "answers in text."
                )

            def ask(path: str, on_text: OnText | None) -> Asked:
                question = model.transcribe(path).text if transcribe else None
                answer = session.ask(path, reply=reply, on_text=on_text)
                return Asked(answer=answer, question=question)

            RecordedChat(
                console=console,
                ask=ask,
                continued=load_session is not None,
                output=output,
                suffix=suffix,
            ).answer(inputs)
        finally:
            # Also what an error or a signal ends was a conversation.
            _keep(console, session, save_session, live.recorded)


def _keep(
    console: Console, session: Session, save_session: Path | None, recorded: Path | None
) -> None:
    """Save the conversation, and say what there is now; first what matters."""
    saved = save_session if session.turns else None
    if saved is not None:
        with deferred():
            session.save(saved)
        console.note(f"the conversation is saved in {saved}; --load-session goes on with it")
    if recorded is not None:
        console.note(f"both sides and a transcript are in {recorded}")
        console.record(event="saved", session=saved, recording=recorded)
    elif saved is not None:
        console.record(event="saved", session=saved, recording=None)


def _open_session(
    model: MimoAudio,
    saved: Path | None,
    reply: Reply | None,
    system: str | None,
    voice: str | None,
    overrides: Overrides,
) -> Session:
    if saved is None:
        return model.session(
            reply=reply or "speech", system=system, voice=voice, overrides=overrides
        )
    return model.load_session(saved, reply=reply, overrides=overrides)
