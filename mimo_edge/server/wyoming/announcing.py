"""Tells the local network where the server is, so that Home Assistant offers it by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator

import psutil
import zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from .info import program_version

__all__ = ["announced"]

_TYPE = "_wyoming._tcp.local."
_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def announced(host: str, port: int) -> AsyncIterator[None]:
    """Meanwhile the local network's directory (mDNS) has an entry for the server at this address.

    A network in which that does not work is no reason not to serve: it is a line in the log.
    """
    try:
        network = AsyncZeroconf()
    except OSError as error:
        _warn(error)
        yield
        return
    # In a task, because it takes a second to find out whether the name is free.
    telling = asyncio.create_task(_tell(network, host, port))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await network.async_unregister_all_services()
        await network.async_close()


async def _tell(network: AsyncZeroconf, host: str, port: int) -> None:
    machine = socket.gethostname().split(".")[0][:40] or "localhost"
    try:
        info = AsyncServiceInfo(
            _TYPE,
            f"mimo_edge on {machine}.{_TYPE}",
            parsed_addresses=await asyncio.to_thread(_addresses, host),
            port=port,
            properties={"version": program_version() or "unknown"},
            server=f"{machine}.local.",
        )
        # Where two machines have the same name, one of them becomes "… (2)".
        await network.async_register_service(info, allow_name_change=True)
    except (OSError, zeroconf.Error) as error:
        _warn(error)
    else:
        _log.info("Wyoming: announced as %s", info.name)


def _warn(error: Exception) -> None:
    _log.warning(
        "Wyoming: the server cannot be announced (%s); give Home Assistant its address by hand",
        error,
    )


def _addresses(host: str) -> list[str]:
    """Those under which others reach a server that listens at `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [socket.gethostbyname(host)]
    if not address.is_unspecified:
        return [host]
    families = (socket.AF_INET,) if address.version == 4 else (socket.AF_INET, socket.AF_INET6)
    every = [entry for entries in psutil.net_if_addrs().values() for entry in entries]
    # Those of IPv6 name their interface: fe80::1%eth0.
    found = [entry.address.split("%")[0] for entry in every if entry.family in families]
    return [each for each in found if not ipaddress.ip_address(each).is_loopback]
