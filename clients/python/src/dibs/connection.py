"""Where to call, and as which identity: the target, the token and the certificates of a client."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dibs.addresses import parts_of
from dibs.errors import InvalidOptionError
from dibs.options import Seconds, milliseconds
from dibs.unreadable_file import check_pem, check_token

#: Text, or a function that returns the current token and is called for each connection and call.
Token: TypeAlias = str | Callable[[], str]

#: TCP repeats a lost first packet after one second.
DEFAULT_CONNECT_S = 2.0
_CONNECT_MS_MAX = 600_000
_DEFAULT_TARGET = "127.0.0.1:50051"
_HOST_PORT = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_WANTED = "give HOST:PORT, a list of them, dns:///HOST:PORT or unix:///path"


@dataclass(frozen=True)
class Said:
    """The caller's options for its connection. None: the environment's value, else the default."""

    target: str | None = None
    token: Token | None = field(default=None, repr=False)
    #: These are paths, and each may be a secret by mistake.
    token_file: str | None = field(default=None, repr=False)
    tls_ca: str | None = field(default=None, repr=False)
    tls_cert: str | None = field(default=None, repr=False)
    tls_key: str | None = field(default=None, repr=False)
    connect: Seconds = DEFAULT_CONNECT_S
    allow_insecure_token: bool = False
    key_affinity: bool = False


@dataclass(frozen=True)
class Tls:
    """The content of PEM files."""

    #: The certificates of the authorities to trust; None for those of the system.
    authorities: bytes | None
    #: The client's own certificate and key, for a service that requires one.
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)


class TlsFiles:
    """PEM files, read again when they have changed, so that a renewed certificate needs no restart."""

    def __init__(self, authorities: str, certificate: str, key: str) -> None:
        """Raises OSError if one cannot be read; InvalidOptionError if the certificate belongs to another key."""
        self._paths = (authorities, certificate, key)
        for name, path in zip(("ca", "cert", "key"), self._paths, strict=True):
            check_pem(f"tls_{name}", f"DIBS_TLS_{name.upper()}", path)
        self._seen: object = None
        self._tls = self._read()

    def current(self) -> Tls:
        """During a replacement, one may be missing, or may not match the other. The old ones stay in use."""
        try:
            return self._read()
        except (OSError, InvalidOptionError):
            return self._tls

    def _read(self) -> Tls:
        seen = [_looks(path) for path in self._paths if path]
        if seen != self._seen:
            authorities, certificate, key = (Path(path).read_bytes() if path else None for path in self._paths)
            if certificate is not None:
                _, its, its_key = self._paths
                try:
                    # An empty password, because a prompt would wait for input at a terminal.
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(its, its_key, "")
                except ssl.SSLError as error:
                    message = (
                        f"tls_cert, tls_key: {its} and {its_key} are not a certificate and its key: {error.reason}"
                    )
                    raise InvalidOptionError(message) from error
            self._tls, self._seen = Tls(authorities, certificate, key), seen
        return self._tls


@dataclass(frozen=True)
class Connection:
    """Where to call, and as which identity."""

    target: str
    connect_ms: int
    tls: TlsFiles | None = None
    #: Returns the current token; None if there is none.
    token: Callable[[], str] | None = field(default=None, repr=False)
    #: HOST:PORT as the user wrote it, if the target is an address that DNS returned for it.
    name: str | None = None
    #: A key has the same address in every process.
    key_affinity: bool = False


def connection_of(said: Said, env: Mapping[str, str]) -> Connection:
    """The caller's options, else the environment's. An empty variable counts as not set.

    Raises InvalidOptionError for an invalid target, or a token that would travel unencrypted; OSError for a file that
    cannot be read.
    """

    def word(option: str | None, variable: str) -> str:
        return option if option is not None else env.get(variable, "")

    target = word(said.target, "DIBS_TARGET") or _DEFAULT_TARGET
    is_here = stays_here(target)
    tls = _tls_of(
        word(said.tls_ca, "DIBS_TLS_CA"), word(said.tls_cert, "DIBS_TLS_CERT"), word(said.tls_key, "DIBS_TLS_KEY")
    )
    token = _token_of(said, env)
    if token is not None and tls is None and not said.allow_insecure_token and not is_here:
        raise InvalidOptionError(
            f"token: it would be sent unencrypted to {target}; set tls_ca (DIBS_TLS_CA), or allow_insecure_token=True"
        )
    return Connection(
        target, milliseconds("connect", said.connect, 1, _CONNECT_MS_MAX), tls, token, key_affinity=said.key_affinity
    )


def stays_here(target: str) -> bool:
    """Whether traffic to it stays on this machine. Raises InvalidOptionError for a typo."""
    return all(map(_is_loopback, hosts_of(target)))


def hosts_of(target: str) -> list[str]:
    """The hosts that a target names; none for a Unix socket. Raises InvalidOptionError for a typo."""
    scheme, addresses = parts_of(target)
    if "@" in target and not scheme.startswith("unix"):
        # A password, perhaps, so the target is not repeated.
        raise InvalidOptionError(f"target: has a user or a password, or another @; {_WANTED}")
    wrong = InvalidOptionError(f"target: {target!r} cannot be read; {_WANTED}")
    if scheme.startswith("unix"):
        rest = addresses[0]
        # With an authority, `unix://path`, the path would lose its first part.
        if rest.strip("/") == "" or (rest.startswith("//") and not rest.startswith("///")):
            raise wrong
        return []
    read = [_HOST_PORT.fullmatch(address) for address in addresses]
    hosts = [match["host"] for match in read if match is not None and 1 <= int(match["port"]) <= 65_535]
    if len(hosts) != len(addresses):
        raise wrong
    return hosts


class TokenFile:
    """A token in a file, read again when the file has changed."""

    def __init__(self, path: str) -> None:
        """Raises OSError if it cannot be read."""
        check_token("token_file", "DIBS_TOKEN_FILE", path)
        self._path = path
        self._seen: object = None
        self._token = ""
        self._read()

    def __call__(self) -> str:
        # The file may be missing during a replacement. The old token is still the best.
        try:
            return self._read()
        except OSError:
            return self._token

    def _read(self) -> str:
        seen = _looks(self._path)
        if seen != self._seen:
            # Other characters make it unsendable, and that error has no part of it.
            token = Path(self._path).read_bytes().decode("ascii", "replace").strip()
            # It may be empty while it is being written.
            if token == "" and self._token != "":
                return self._token
            self._token, self._seen = token, seen
        return self._token


def _token_of(said: Said, env: Mapping[str, str]) -> Callable[[], str] | None:
    if callable(said.token):
        return said.token
    token = said.token
    path = said.token_file
    if token is None and path is None:
        token, path = env.get("DIBS_TOKEN"), env.get("DIBS_TOKEN_FILE")
    if token:
        text = token
        if not is_sendable(text):
            raise InvalidOptionError("token: has characters other than visible ASCII (DIBS_TOKEN)")
        return lambda: text
    return TokenFile(path) if path else None


def is_sendable(token: object) -> bool:
    """Whether a header can carry it."""
    return isinstance(token, str) and _VISIBLE.fullmatch(token) is not None


def _looks(path: str) -> tuple[int, int, int]:
    """True if the file has changed."""
    now = os.stat(path)
    return now.st_mtime_ns, now.st_size, now.st_ino


def _tls_of(authorities: str, certificate: str, key: str) -> TlsFiles | None:
    if (certificate == "") != (key == ""):
        raise InvalidOptionError("tls_cert: a certificate and its key (tls_key) belong together")
    if authorities == "" and certificate == "":
        return None
    return TlsFiles(authorities, certificate, key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
