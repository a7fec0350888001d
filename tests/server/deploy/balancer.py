"""nginx with the configuration file that is shipped, in front of servers of a test."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mimo_edge.server
from tests.tools.certificate import self_signed

CONFIGURATION = Path(mimo_edge.server.__file__).parent / "deploy" / "nginx.conf"


@dataclass(frozen=True)
class Balancer:
    """A running nginx."""

    port: int
    certificate: Path
    logs: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def logged(self) -> str:
        return "".join(path.read_text() for path in self.logs.iterdir())


@contextlib.contextmanager
def balancer(folder: Path, *ports: int) -> Iterator[Balancer]:
    """nginx in front of servers at these ports of this machine, until the block ends."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    logs = folder / "logs"
    logs.mkdir()
    certificate, key = self_signed(folder)
    port = _free_port()
    text = CONFIGURATION.read_text("utf-8")
    for pattern, place in (
        (r"listen 443 ssl;", f"listen {port} ssl;"),
        (r"speech\.example\.org;", "localhost;"),
        (r"/etc/nginx/speech\.example\.org\.crt", str(certificate)),
        (r"/etc/nginx/speech\.example\.org\.key", str(key)),
        (r"/var/log/nginx/", f"{logs}/"),
        (r"/run/", f"{folder}/"),
        (r"(\s+)server 127\.0\.0\.1:8001 (.*)\n\s+server .*\n", _servers(ports)),
    ):
        text, count = re.subn(pattern, place, text)
        assert count, f"nothing like {pattern} in the configuration"
    configuration = folder / "nginx.conf"
    configuration.write_text(text, "utf-8")
    command = ["nginx", "-c", str(configuration), "-p", str(folder), "-e", str(logs / "start.log")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Balancer(port, certificate, logs)
    finally:
        process.terminate()
        process.wait(30)


def _servers(ports: tuple[int, ...]) -> str:
    return "".join(rf"\1server 127.0.0.1:{port} \2" for port in ports) + "\n"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "nginx ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("nginx did not start")
