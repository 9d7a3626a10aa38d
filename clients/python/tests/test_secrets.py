"""What is set where a path or an address belongs may be a secret. No error may repeat it, as errors are logged."""

from __future__ import annotations

import base64
import os
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dibs import AsyncClient, Client, InvalidOptionError, ServiceError
from dibs.connection import Said

PASSWORD = "pa55word-of-mine"
VARIABLES = {
    "tls_ca": "DIBS_TLS_CA",
    "tls_cert": "DIBS_TLS_CERT",
    "tls_key": "DIBS_TLS_KEY",
    "token_file": "DIBS_TOKEN_FILE",
}
TOKENS = [
    "my-secret-token",
    "dibs.my-secret-token",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWJzIn0.c2lnbmF0dXJlLW9mLW1pbmU",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "q1W2e3R4t5Y6u7I8/o9P0aSdFgHjKlZxCvBnMqWeRtY=",
    "/q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx",
    "/q1W2e3R4+t5Y6u7I8o9P0aSdFgHj=",
]


def keys() -> list[str]:
    """Private keys in each form that a variable may have."""
    found = []
    # Ed25519 and RSA, as PKCS#8.
    for der in (
        bytes.fromhex("302e020100300506032b657004220420") + os.urandom(32),
        bytes.fromhex("308204bd020100300d06092a864886f70d0101010500") + os.urandom(1_195),
    ):
        text = base64.b64encode(der).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
        found += [pem, pem.replace("\n", " "), pem.replace("\n", "\\n"), base64.b64encode(pem.encode()).decode()]
        found += [text, f" {text}", base64.urlsafe_b64encode(der).decode().rstrip("=")]
    return found


def printed_by(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> str:
    """Everything that a logger may print of the error: its text, its causes, and all that they have."""
    with pytest.raises((OSError, InvalidOptionError)) as raised:
        make()
    said, error = [caplog.text], raised.value
    said += traceback.format_exception(error)
    todo: list[BaseException | None] = [error]
    while todo:
        if (one := todo.pop()) is not None:
            said += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "filename", None))]
            todo += [one.__cause__, one.__context__]
    return "\n".join(said)


def is_silent_about(secret: str, printed: str) -> bool:
    """An error may escape or cut what it repeats."""
    return not any(secret[at : at + 12] in printed for at in range(len(secret) - 11))


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("option", VARIABLES)
def test_a_secret_in_place_of_its_path_is_not_repeated(
    option: str, make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = {"tls_cert": "tls_key", "tls_key": "tls_cert"}.get(option)
    for secret in [*keys(), *(TOKENS if option == "token_file" else [])]:
        options: dict[str, Any] = {option: secret} | ({} if other is None else {other: __file__})
        printed = printed_by(partial(make, **options), caplog)
        for name, value in options.items():
            monkeypatch.setenv(VARIABLES[name], value)
        by_environment = printed_by(make, caplog)
        for text in (printed, by_environment):
            assert f"{option}: cannot be read" in text
            assert f"set the path of the file ({option}, {VARIABLES[option]})" in text
            assert is_silent_about(secret, text), text
        alone: Any = {option: secret}
        assert is_silent_about(secret, repr(Said(**alone)))


def test_a_path_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/nowhere/tls.pem", "no-such.pem", "MyKeys/of this service/tls.pem"):
        with pytest.raises(FileNotFoundError, match=path):
            Client(tls_ca=path)
        with pytest.raises(FileNotFoundError, match=path):
            Client(tls_cert=path, tls_key=__file__)
        with pytest.raises(FileNotFoundError, match=path):
            Client(tls_cert=__file__, tls_key=path)
    paths = ["/nowhere/dibs/token", "./no-such-token", "../no-such/token", "~/token", "C:\\dibs\\token"]
    for path in (*paths, "/nowhere/kubernetes.io/serviceaccount/9f86d081-884c-4d65-9a2f-eaa0c55ad015"):
        assert repr(path) in printed_by(partial(Client, token_file=path), caplog)


def test_a_token_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("token", "q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx"):
        Path(name).write_text("secret")
        Client(token_file=name).close()


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_a_password_in_the_target_is_not_repeated(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user = f"user:{PASSWORD}"
    targets = [f"{user}@host:1", f"{PASSWORD}@host:1", f"https://{user}@host:1", f"a:1,{user}@b:2", f"{user}@host"]
    targets += [f"dns:///{user}@host:1", f"dns://{user}@8.8.8.8/host:1", f"{user}/with@slash@host:1"]
    for target in targets:
        monkeypatch.setenv("DIBS_TARGET", target)
        for printed in (printed_by(partial(make, target), caplog), printed_by(make, caplog)):
            assert "target: has a user or a password" in printed
            assert PASSWORD not in printed
    Client("unix:///run/dibs@1.sock").close()


async def test_a_token_file_that_is_no_text_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"my-secret-token\xff")
    client = Client("127.0.0.1:1", token_file=str(file), on_unavailable="fail", session=False)
    with pytest.raises(ServiceError, match="token: is empty, or has characters other than") as raised:
        client.get("k")
    client.close()
    error: BaseException | None = raised.value
    while error is not None:
        assert "my-secret-token" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
