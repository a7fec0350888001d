"""Where the server listens, who may know of it, and what the command says."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from wyoming.client import AsyncTcpClient
from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from mimo_edge.errors import BadInputError, DeviceError
from mimo_edge.server.sharing.service import Service
from mimo_edge.server.wyoming.options import WyomingLimits, WyomingOptions
from mimo_edge.server.wyoming.server import WyomingServer, listen
from tests.tools.command_line import Command

from ..running import running
from .home_assistant import describe


def test_it_listens_on_this_machine_unless_told() -> None:
    with listen(WyomingOptions(port=0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    for host in ("127.0.0.1", "127.3.2.1", "localhost", "::1"):
        assert WyomingOptions(port=0, host=host).only_here
    for host in ("0.0.0.0", "192.168.0.7", "::", "home.local"):
        assert not WyomingOptions(port=0, host=host).only_here


def test_options_without_a_meaning_are_refused() -> None:
    for wrong, word in (
        (lambda: WyomingOptions(port=70_000), "70000"),
        (lambda: WyomingOptions(port=1, announce=True), "not announced"),
        (lambda: WyomingOptions(port=1, host="localhost", announce=True), "localhost"),
        (lambda: WyomingLimits(connections=0), "connections"),
        (lambda: WyomingLimits(idle_s=-1), "idle_s"),
    ):
        with pytest.raises(BadInputError, match=word):
            wrong()


def test_an_address_that_cannot_be_had_is_one_sentence() -> None:
    with listen(WyomingOptions(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeviceError, match=rf"127\.0\.0\.1:{port}.*another port"):
            listen(WyomingOptions(port=port))
    with pytest.raises(DeviceError, match=r"192\.0\.2\.1"):
        listen(WyomingOptions(port=0, host="192.0.2.1"))


def test_the_command_refuses_options_of_a_server_that_is_not_wanted(command: Command) -> None:
    assert "--wyoming 10300" in command("serve", "--wyoming-announce").sentence
    assert "--wyoming 10300" in command("serve", "--wyoming-host", "0.0.0.0").sentence
    announced = command("serve", "--port", "0", "--wyoming", "0", "--wyoming-announce")
    assert "not announced" in announced.sentence


@pytest.mark.skipif(sys.platform == "win32", reason="a process is ended by a signal")
def test_the_command_serves_both_and_says_who_may_use_them() -> None:
    arguments = ["serve", "--port", "0", "--wyoming", "0", "--wyoming-host", "0.0.0.0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mimo_edge", *arguments], stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(120, server.kill)
    watchdog.start()
    try:
        assert server.stderr is not None
        said = ""
        while "no keys" not in said:
            said += server.stderr.readline() or pytest.fail(said)
        port = int((re.search(r"tcp://0\.0\.0\.0:(\d+)", said) or pytest.fail(said))[1])

        async def ask() -> bool:
            while True:  # it is loading
                async with AsyncTcpClient("127.0.0.1", port) as client:
                    try:
                        return bool((await describe(client)).handle)
                    except ConnectionError:
                        await asyncio.sleep(0.2)

        assert asyncio.run(asyncio.wait_for(ask(), 100))
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    finally:
        watchdog.cancel()
        server.kill()
        server.wait()


def test_the_network_is_told_where_it_is() -> None:
    if not _multicast():
        pytest.skip("this machine's network has no multicast")
    options = WyomingOptions(port=0, host="0.0.0.0", announce=True)
    listening = listen(options)
    port = listening.getsockname()[1]
    found: dict[str, ServiceInfo | None] = {}

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            found[name] = None
        else:
            found[name] = zeroconf.get_service_info(service_type, name)

    def ours() -> list[str]:
        return [name for name, info in found.items() if info is not None and info.port == port]

    def wait_for(there: bool) -> None:
        for _ in range(300):
            if bool(ours()) == there:
                return
            time.sleep(0.1)
        raise AssertionError(f"{'not found' if there else 'still there'}: {found}")

    def prepare(service: Service) -> None:
        service.beside.append(WyomingServer(service, options, listening))

    network = Zeroconf()
    ServiceBrowser(network, "_wyoming._tcp.local.", handlers=[changed])
    try:
        with running(prepare=prepare):
            wait_for(True)
            (name,) = ours()
            assert name.startswith("mimo_edge on ")
            info = found[name]
            assert info is not None
            assert "127.0.0.1" not in info.parsed_addresses()
        wait_for(False)
    finally:
        network.close()


def _multicast() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("224.0.0.251", 5353))
        except OSError:
            return False
        return not probe.getsockname()[0].startswith("127.")
