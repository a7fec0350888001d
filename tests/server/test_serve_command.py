"""`mimo-edge serve` as a program: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.bundle.manifest import BACKBONE_FILE
from tests.tools.command_line import Command

KEY = "a-key-for-this-test"
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.listening = self.line()

    @property
    def url(self) -> str:
        return str(self.listening["url"])

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        record = json.loads(line)
        assert isinstance(record, dict)
        return record

    def end(self, number: int) -> tuple[int, str]:
        """(exit status, standard error) after a signal."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextlib.contextmanager
def served(*options: object, **environment: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mimo_edge", "serve", "--port", "0", "--json", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_it_is_told_to(number: int) -> None:
    with served("--conversations", "2", "--cache-positions", "768") as server:
        assert server.listening["event"] == "listening"
        ready = server.line()
        assert ready == {"event": "ready", "model": "MiMo-Audio-Demo", "conversations": 2}
        assert httpx.get(server.url + "/health").json() == {"status": "ready"}
        assert server.end(number) == (0, "")


@posix
def test_it_ends_in_the_middle_of_answers() -> None:
    """Also while somebody has not said all, reads an answer, and keeps a connection open."""
    with served() as server:
        server.line()
        url = httpx.URL(server.url)
        idle = socket.create_connection((url.host, url.port or 80))
        idle.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        begun = threading.Event()
        whole: list[bool] = []

        def listen() -> None:
            text = "One, two, three, four, five, six, seven. " * 200
            speech = {"input": text, "response_format": "pcm"}
            with contextlib.suppress(httpx.TransportError):
                with httpx.stream(
                    "POST", server.url + "/v1/audio/speech", json=speech, timeout=60
                ) as answer:
                    for _ in answer.iter_bytes():
                        begun.set()
                whole.append(True)

        listener = threading.Thread(target=listen)
        listener.start()
        assert begun.wait(60)
        status, errors = server.end(signal.SIGTERM)
        listener.join(60)
        idle.close()
        assert status == 0
        assert "Traceback" not in errors
        assert not whole, "half an answer looks like half an answer"


@posix
def test_a_key_from_the_environment_and_one_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", "utf-8-sig")  # with a byte order mark, as Notepad may save it
    file.chmod(0o600)
    for options, environment in (((), {"MIMO_EDGE_API_KEY": KEY}), (("--api-key-file", file), {})):
        with served(*options, "--host", "0.0.0.0", "--no-page", **environment) as server:
            url = server.url
            assert httpx.get(url + "/v1/models").status_code == 401
            server.line()
            headers = {"Authorization": f"Bearer {KEY}"}
            assert httpx.get(url + "/v1/models", headers=headers).status_code == 200
            assert httpx.get(url + "/", headers=headers).status_code == 404
            assert url.startswith("http://127.0.0.1:")
            assert KEY not in json.dumps(server.listening)
            assert server.end(signal.SIGTERM)[0] == 0


def test_an_ipv6_address(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with served("--host", "::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(server.url + "/health").status_code in (200, 503)


def test_a_port_in_use_is_one_sentence(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = command("serve", "--port", port).sentence
    assert f"port {port}" in sentence
    assert "choose another port" in sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "--api-key-file, or $MIMO_EDGE_API_KEY"),
        (("--host", "192.0.2.1", "--api-key", KEY), "cannot listen on 192.0.2.1"),
        (("--host", "no such host", "--api-key", KEY), "no such host is no address"),
        (("--port", "70000"), "70000"),
        (("--api-key", "short"), "5 characters"),
        (("--api-key-file", "missing"), "missing cannot be read"),
        (("--api-key", KEY, "--api-key-file", "x"), "not both"),
        (("--tls-cert", "x.pem"), "give both or none"),
        (("--tls-cert", "x.pem", "--tls-key", "y.pem"), "cannot be used for TLS"),
        (("--allow-origin", "*"), "every web page"),
        (("--model", "missing"), "missing"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    command: Command, options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIMO_EDGE_API_KEY", raising=False)
    assert said in command("serve", "--port", "0", *options).sentence


def test_a_certificate_that_is_none_is_one_sentence(command: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "cert.pem"
    wrong.write_text("this is no certificate")
    sentence = command("serve", "--tls-cert", wrong, "--tls-key", wrong).sentence
    assert "cannot be used for TLS" in sentence


def test_a_cache_without_room_ends_the_server(command: Command) -> None:
    result = command("serve", "--port", "0", "--cache-positions", "15")
    assert result.status == 1 and "the cache holds 15 positions; give at least 16" in result.err


def test_a_model_that_does_not_load_ends_the_server(tmp_path: Path) -> None:
    bundle = shutil.copytree(find_bundle(None), tmp_path / "bundle")
    weights = bundle / BACKBONE_FILE
    weights.write_bytes(bytes(weights.stat().st_size))
    process = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "serve", "--port", "0", "--model", str(bundle)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert process.stderr.splitlines()[-1].startswith("mimo-edge: ")
