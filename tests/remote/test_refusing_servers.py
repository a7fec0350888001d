"""A client of a server that refuses, ends quiet sessions, or has no room."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from mimo_edge.dialogue.model_events import Ended, Told
from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress
from mimo_edge.remote.client_events import RemoteSettings
from mimo_edge.remote.opening import open_session

from .conversing import conversing, eventually
from .scripted_server import Script, scripted
from .test_remote_model import OTHER, QUESTION


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (HTTPStatus.UNAUTHORIZED, '{"error": {"message": "bad key."}}', "wants a key (bad key)"),
        (HTTPStatus.FORBIDDEN, "not from here", "refuses: it answers 403 (not from here)"),
        (HTTPStatus.NOT_FOUND, "<html>", "no realtime conversations at /v1/realtime."),
        (HTTPStatus.TOO_MANY_REQUESTS, '{"error": {"message": "2 talk"}}', "no room now"),
    ],
)
def test_a_server_that_refuses(status: HTTPStatus, body: str, words: str) -> None:
    with scripted() as server:
        server.refuse = lambda number: (status, body)
        with pytest.raises(MimoEdgeError) as raised:
            open_session(ServerAddress(url=server.url), RemoteSettings())
    assert words in str(raised.value)


def test_a_server_that_refuses_after_it_let_in() -> None:
    with scripted() as server:
        server.complaint, server.goodbye = "Two conversations are enough.", (1013, "busy")
        with pytest.raises(MimoEdgeError, match=r"refuses: Two conversations are enough\."):
            open_session(ServerAddress(url=server.url), RemoteSettings())
        server.complaint = None
        with pytest.raises(MimoEdgeError, match="1013: busy"):
            open_session(ServerAddress(url=server.url), RemoteSettings())


def test_a_server_that_speaks_otherwise_than_it_hears() -> None:
    form = {"format": {"type": "audio/pcm", "rate": 24000}}
    with scripted() as server:
        server.session = {"audio": {"input": form, "output": {"format": {"type": "audio/pcmu"}}}}
        with pytest.raises(MimoEdgeError, match="says audio/pcmu"):
            open_session(ServerAddress(url=server.url), RemoteSettings())


def test_the_rate_of_the_server_is_that_of_the_conversation() -> None:
    form = {"format": {"type": "audio/pcm", "rate": 16000}}
    with scripted() as server:
        server.keeps_to_the_types = False
        server.session = {"audio": {"input": form, "output": form}}
        opened = open_session(ServerAddress(url=server.url), RemoteSettings())
        opened.connection.close()
    assert opened.rate == 16000 and opened.model == "scripted"


@pytest.mark.parametrize("heard_before", [True, False])
def test_a_server_that_ends_a_quiet_session_is_asked_again(heard_before: bool) -> None:
    with scripted(Script(leave_after=True), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Ended)
        assert "nothing happened" in mine.wait_for(Told).sentence
        if heard_before:
            mine.model.hear(OTHER)
        mine.model.answer(2, OTHER)
        assert mine.wait_for(Ended).turn == 2
        assert len(server.talks) == 2 and len(server.talk.of("conversation.item.create")) == 2
    assert len(mine.of(Told)) == 1


def test_a_server_without_room_is_asked_again() -> None:
    """It may not have noticed yet that the conversation before is over."""
    with scripted(Script(), Script(lose_after=0), Script()) as server, conversing(server) as mine:
        mine.model.answer(1, QUESTION)
        mine.wait_for(Ended)
        server.complaint, server.goodbye = "One conversation is enough.", (1013, "busy")
        mine.model.answer(2, QUESTION)
        mine.wait_for(Told)
        eventually(lambda: len(server.talks) == 2)
        server.complaint = server.goodbye = None
        assert mine.wait_for(Ended).turn == 2
