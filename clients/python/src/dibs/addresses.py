"""The addresses that a target stands for."""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import threading
from dataclasses import dataclass

#: One process does not need more replicas.
ADDRESSES_MAX = 8
_SCHEME = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """One of the addresses of a target."""

    #: In the form that gRPC dials.
    target: str
    #: HOST:PORT as the user wrote it. The service's certificate must be valid for it. None if it is the target.
    name: str | None = None


def numeric(target: str) -> str | None:
    """`IP:PORT` of one address, in the form of every client: `[fd00::1]:50051`. None for a name or a path."""
    _, (address, *_) = parts_of(target)
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def parts_of(target: str) -> tuple[str, list[str]]:
    """The scheme of a target, empty without one, and its addresses, one or several."""
    match = _SCHEME.fullmatch(target)
    scheme, rest = ("", target) if match is None else match.groups()
    if scheme in ("", "ipv4", "ipv6"):
        return scheme, rest.split(",")
    # `dns://server/HOST:PORT` names the DNS server.
    return scheme, [rest.rsplit("/", 1)[-1] if scheme == "dns" else rest]


def listed(target: str) -> list[Address]:
    """The addresses of a list; the target itself if it is no list."""
    scheme, named = parts_of(target)
    if len(named) == 1:
        return [Address(target)]
    return [Address(f"{scheme}:{one}" if scheme else one) for one in dict.fromkeys(named)]


class Name:
    """A name that DNS may resolve to several addresses."""

    def __init__(self, host: str, port: str) -> None:
        self._host = host
        self._port = port

    @staticmethod
    def in_list(target: str) -> Name | None:
        """The name in one address of a list; None if it is no name."""
        scheme, (address, *_) = parts_of(target)
        host, _, port = address.rpartition(":")
        return None if scheme or numeric(target) is not None else Name(host, port)

    @staticmethod
    def of(target: str) -> Name | None:
        """None if the target is an address, this machine, a list, or resolved at a specific DNS server."""
        scheme, named = parts_of(target)
        at_a_server = target.startswith("dns://") and not target.startswith("dns:///")
        if scheme not in ("", "dns") or len(named) > 1 or at_a_server:
            return None
        host, _, port = named[0].rpartition(":")
        return None if host == "localhost" or numeric(target) is not None else Name(host, port)

    def resolved(self, within: float) -> list[Address]:
        """Its addresses; an empty list if there are none, or if the look-up takes longer, in seconds."""
        found: list[Address] = []
        thread = threading.Thread(target=lambda: found.extend(self._addresses()), name="dibs-dns", daemon=True)
        thread.start()
        thread.join(within)
        return [] if thread.is_alive() else found

    def _addresses(self) -> list[Address]:
        try:
            known = socket.getaddrinfo(self._host, int(self._port), type=socket.SOCK_STREAM)
        except OSError:
            return []
        texts = dict.fromkeys(_uri(family, str(where[0]), int(where[1])) for family, _, _, _, where in known)
        return [Address(text, f"{self._host}:{self._port}") for text in texts]


def _uri(family: int, ip: str, port: int) -> str:
    return f"ipv6:[{ip}]:{port}" if family == socket.AF_INET6 else f"ipv4:{ip}:{port}"


def some_of(addresses: list[Address], before: list[Address]) -> list[Address]:
    """As many as one process uses: those used before, and random others, so that all replicas have users."""
    stay = [address for address in before if address in addresses]
    new = [address for address in addresses if address not in stay]
    return [*stay, *random.sample(new, len(new))][:ADDRESSES_MAX]
