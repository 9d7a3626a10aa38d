"""Where and as whom a client calls: targets, tokens and certificates."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from callers import MakeCaller, Recorder, caller_of, gives, until
from fake_service import FakeService, Refusal, hit, lease

from dibs import AsyncClient, Client, InvalidOptionError, ServiceError
from dibs.connection import Said, Tls, TlsFiles, connection_of, hosts_of

KINDS = ["threads", "loop"]


@pytest.mark.parametrize(
    ("said", "env", "expected"),
    [
        ((None, None, None), {}, ("127.0.0.1:50051", None, None)),
        ((None, None, None), {"DIBS_TARGET": "a:1", "DIBS_TOKEN": "t", "DIBS_TLS_CA": "a.pem"}, ("a:1", "t", b"a")),
        ((None, None, None), {"DIBS_TARGET": "", "DIBS_TOKEN": "", "DIBS_TLS_CA": ""}, ("127.0.0.1:50051", None, None)),
        (("b:2", "u", "b.pem"), {"DIBS_TARGET": "a:1", "DIBS_TOKEN": "t", "DIBS_TLS_CA": "a.pem"}, ("b:2", "u", b"b")),
        (("b:2", "", ""), {"DIBS_TOKEN": "t", "DIBS_TLS_CA": "a.pem"}, ("b:2", None, None)),
    ],
)
def test_where_to_call_is_an_option_or_in_the_environment(
    said: tuple[str | None, str | None, str | None],
    env: dict[str, str],
    expected: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(f"{name}.pem").write_text(name)
    target, token, tls_ca = said
    connection = connection_of(Said(target, token, tls_ca=tls_ca, connect=0.5), env)
    authorities = None if connection.tls is None else connection.tls.current().authorities
    assert (connection.target, connection.token and connection.token(), authorities) == expected
    assert connection.connect_ms == 500


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("127.0.0.1:50051", ["127.0.0.1"]),
        ("[::1]:50051", ["[::1]"]),
        ("my-service.ns:1", ["my-service.ns"]),
        ("dns:///dibs.example:50051", ["dibs.example"]),
        ("dns://8.8.8.8/dibs.example:50051", ["dibs.example"]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", ["10.0.0.1", "10.0.0.2"]),
        ("unix:///run/dibs.sock", []),
        ("unix:relative.sock", []),
    ],
)
def test_targets_are_read(target: str, hosts: list[str]) -> None:
    assert hosts_of(target) == hosts


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:port",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        ":50051",
        "http://127.0.0.1:50051",
        "dns://dibs.example:50051/",
        "dns:///dibs.example",
        "unix://run/dibs.sock",
        "unix://",
        "unix:",
        "two words:1",
        "ipv4:10.0.0.1:1,",
    ],
)
@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_a_typo_in_the_target_is_an_error_at_once(target: str, make: Callable[[str], Any]) -> None:
    with pytest.raises(InvalidOptionError, match=r"target: .* cannot be read; give HOST:PORT"):
        make(target)


def test_authorities_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(OSError, match="no such file"):
        Client(tls_ca="no such file")


def test_a_certificate_and_its_key_belong_together() -> None:
    with pytest.raises(InvalidOptionError, match="tls_cert"):
        Client(tls_cert="certificate.pem")


class TestAToken:
    @pytest.mark.parametrize("target", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:///a", "dns:///localhost:1"])
    def test_travels_in_clear_inside_a_machine(self, target: str) -> None:
        Client(target, token="secret").close()

    @pytest.mark.parametrize("target", ["127.0.0.1:PORT", "localhost:PORT", "ipv4:127.0.0.1:PORT"])
    async def test_does_not_reach_a_proxy_of_the_environment(
        self, target: str, fake: FakeService, make: MakeCaller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.will("GetOrLock", hit(b"v"))
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            caller = make(target=target.replace("PORT", fake.target.rpartition(":")[2]), token="secret")
            assert await caller.get("k", gives(b"mine")) == b"v"

    # A name server may say anything of a name under localhost.
    @pytest.mark.parametrize(
        "target", ["10.0.0.1:1", "dibs:1", "dns:///dibs:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "dibs.localhost:1"]
    )
    def test_does_not_travel_in_clear_to_another(
        self, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(InvalidOptionError, match=r"token: .*tls_ca.*allow_insecure_token") as raised:
            Client(target, token="secret")
        assert "secret" not in str(raised.value)
        with pytest.raises(InvalidOptionError):
            Client(target, token=lambda: "secret")
        Client(target, token="secret", allow_insecure_token=True).close()
        Client(target).close()
        monkeypatch.setenv("DIBS_TOKEN", "secret")
        with pytest.raises(InvalidOptionError):
            Client(target)

    async def test_may_be_a_function_that_is_asked_for_each_call(self, fake: FakeService, make: MakeCaller) -> None:
        fake.will("GetOrLock", hit(b"v"))
        tokens = iter(["first", "second"])
        caller = make(token=lambda: next(tokens), session=False)
        for _ in range(2):
            await caller.get("k", gives(b"v"))
        assert [heard.metadata["authorization"] for heard in fake.heard] == ["Bearer first", "Bearer second"]

    async def test_that_changes_is_shown_by_the_next_session(self, fake: FakeService, make: MakeCaller) -> None:
        tokens = ["first"]
        outdated = Refusal(grpc.StatusCode.UNAUTHENTICATED, "who are you")
        fake.will("GetOrLock", hit(b"v"), outdated, hit(b"v"))
        caller = make(token=lambda: tokens[-1])
        await caller.get("k", gives(b"v"))
        tokens.append("second")
        if fake.hellos:
            # The service does not know the session's token any more, and the client's own is another one.
            assert await caller.get("k", gives(b"mine")) == b"v"
            assert await caller.get("k", gives(b"mine")) == b"v"
            assert len(fake.hellos) == 2
        else:
            with pytest.raises(ServiceError, match="UNAUTHENTICATED: who are you"):
                await caller.get("k", gives(b"mine"))
        assert fake.heard[-1].metadata["authorization"] == "Bearer second"

    async def test_whose_function_fails_is_an_error_that_tells_no_secret(self, make: MakeCaller) -> None:
        def broken() -> str:
            raise RuntimeError("secret")

        with pytest.raises(ServiceError, match=r"^UNAUTHENTICATED: token: its function raised RuntimeError$"):
            await make(token=broken).get("k", gives(b"v"))

    async def test_that_cannot_be_had_for_a_moment_does_not_make_a_value_unstorable(
        self, fake: FakeService, make: MakeCaller
    ) -> None:
        broken, hooks = [False], Recorder()

        def token() -> str:
            if broken[0]:
                broken[0] = False
                raise RuntimeError("secret")
            return "token"

        async def rebuild(_: Any) -> bytes:
            broken[0] = True
            return b"v"

        fake.will("GetOrLock", lease())
        caller = make(token=token, session=False, hooks=hooks)
        assert await caller.get("k", rebuild) == b"v"
        await until(lambda: fake.requests("Publish"))
        await caller.put("k", b"v")
        broken[0] = True
        assert hooks.of("not_storable") == []
        assert fake.requests("Release") == []

    async def test_may_be_in_a_file_that_changes(self, fake: FakeService, make: MakeCaller, tmp_path: Path) -> None:
        fake.will("GetOrLock", hit(b"v"))
        file = tmp_path / "token"
        file.write_text("first\n")
        caller = make(token_file=str(file), session=False)
        await caller.get("k", gives(b"v"))
        newer = tmp_path / "newer"
        newer.write_text("second\n")
        os.replace(newer, file)
        await caller.get("k", gives(b"v"))
        # It may be empty while it is being written.
        file.write_text("")
        await caller.get("k", gives(b"v"))
        file.unlink()
        await caller.get("k", gives(b"v"))
        tokens = [heard.metadata["authorization"] for heard in fake.heard]
        assert tokens == ["Bearer first", "Bearer second", "Bearer second", "Bearer second"]

    def test_in_a_file_that_cannot_be_read_is_an_error_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DIBS_TOKEN_FILE", "/no such file")
        with pytest.raises(OSError, match="/no such file"):
            Client()

    @pytest.mark.parametrize("token", ["two words", "a\nline", "\u00fc"])
    async def test_that_no_header_can_carry_is_refused_and_not_shown(self, token: str, make: MakeCaller) -> None:
        with pytest.raises(InvalidOptionError, match=r"token: has characters other than visible ASCII") as refused:
            Client(token=token)
        assert token not in str(refused.value)
        with pytest.raises(ServiceError, match=r"token: is empty, or has characters other") as raised:
            await make(token=lambda: token, on_unavailable="fail").get("k", gives(b"v"))
        assert token not in str(raised.value)

    def test_is_in_no_representation(self) -> None:
        client = Client(token="secret")
        said = [client, client._connection, Said(token="secret"), Tls(None, b"certificate", b"secret")]
        assert "secret" not in "".join(f"{it} {it!r}" for it in said)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, which is its own authority, and its key."""
    return made_in(tmp_path_factory.mktemp("tls"))


def credentials_of(certificate: Path, key: Path) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])


def made_in(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dibs -addext subjectAltName={name}"
    subprocess.run(
        ["openssl", *make.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


@pytest.mark.parametrize("kind", KINDS)
async def test_tls_is_on_where_authorities_are_named(
    kind: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = certificate
    fake = FakeService().start(credentials_of(path, key))
    fake.will("GetOrLock", hit(b"v"))
    options = {"target": fake.target, "on_unavailable": "fail"}
    named = caller_of(kind, tls_ca=str(path), **options)
    assert await named.get("k", gives(b"mine")) == b"v"
    monkeypatch.setenv("DIBS_TLS_CA", str(path))
    by_environment, without = caller_of(kind, **options), caller_of(kind, tls_ca="", **options)
    assert await by_environment.get("k", gives(b"mine")) == b"v"
    with pytest.raises(ServiceError):
        await without.get("k", gives(b"mine"))
    for caller in (named, by_environment, without):
        await caller.close()
    fake.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_of_its_own_is_shown(
    kind: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = certificate
    pair = [(key.read_bytes(), path.read_bytes())]
    fake = FakeService().start(grpc.ssl_server_credentials(pair, path.read_bytes(), require_client_auth=True))
    fake.will("GetOrLock", hit(b"v"))
    options = {"target": fake.target, "on_unavailable": "fail", "tls_ca": str(path)}
    without = caller_of(kind, **options)
    with pytest.raises(ServiceError):
        await without.get("k", gives(b"mine"))
    shown = caller_of(kind, tls_cert=str(path), tls_key=str(key), **options)
    assert await shown.get("k", gives(b"mine")) == b"v"
    monkeypatch.setenv("DIBS_TLS_CERT", str(path))
    monkeypatch.setenv("DIBS_TLS_KEY", str(key))
    by_environment = caller_of(kind, **options)
    assert await by_environment.get("k", gives(b"mine")) == b"v"
    for caller in (without, shown, by_environment):
        await caller.close()
    fake.stop()


def test_certificates_are_read_again_and_only_as_a_pair(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = made_in(tmp_path / "first"), made_in(tmp_path / "second")
    own, its_key = tmp_path / "own.pem", tmp_path / "own.key"
    own.write_bytes(first[0].read_bytes())
    its_key.write_bytes(first[1].read_bytes())
    files = TlsFiles("", str(own), str(its_key))
    before = files.current()
    assert before is files.current()
    # The key comes first, and fits nothing yet.
    its_key.write_bytes(second[1].read_bytes())
    assert files.current() is before
    own.write_bytes(second[0].read_bytes())
    assert files.current().certificate == second[0].read_bytes()
    own.unlink()
    assert files.current().certificate == second[0].read_bytes()
    own.write_bytes(first[0].read_bytes())
    with pytest.raises(InvalidOptionError, match=r"tls_cert, tls_key: .* are not a certificate and its key"):
        Client(tls_cert=str(own), tls_key=str(its_key))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("session", [True, False])
async def test_a_renewed_certificate_is_shown_to_a_service_that_comes_back(
    kind: str, session: bool, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    path, key = certificate
    strangers = made_in(tmp_path)
    own, its_key = tmp_path / "own.pem", tmp_path / "own.key"
    own.write_bytes(strangers[0].read_bytes())
    its_key.write_bytes(strangers[1].read_bytes())
    pair = [(key.read_bytes(), path.read_bytes())]
    fake = FakeService().start(grpc.ssl_server_credentials(pair, path.read_bytes(), require_client_auth=True))
    fake.will("GetOrLock", hit(b"v"))
    files = {"tls_ca": str(path), "tls_cert": str(own), "tls_key": str(its_key)}
    caller = caller_of(kind, target=fake.target, on_unavailable="fail", session=session, **files)
    with pytest.raises(ServiceError):
        await caller.get("k", gives(b"mine"))
    its_key.write_bytes(key.read_bytes())
    own.write_bytes(path.read_bytes())
    assert await caller.get("k", gives(b"mine")) == b"v"
    await caller.close()
    fake.stop()
