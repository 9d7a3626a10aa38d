"""A target with several addresses: one session for each, and what becomes of them; both clients."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from callers import PATIENCE_S, MakeCaller, never_called, until
from fake_service import RELEASED, STORED, FakeService, Refusal, hit, lease
from replicas import answers, listing, until_answer
from test_connection import credentials_of, made_in
from test_link import FORK

from dibs import BYTES, AsyncClient, Client
from dibs.addresses import ADDRESSES_MAX, Address, Name, listed, some_of
from dibs.connection import hosts_of
from dibs.v1 import coordinator_pb2 as pb


async def test_the_calls_of_a_process_are_shared_by_a_list(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two, three = start("one"), start("two"), start("three")
    caller = make_on_session(target=listing(one, two, three), connect=20)
    by_key = await until_answer(caller, "one", "two", "three")
    assert await answers(caller) == by_key, "a key stays where it is"
    assert [len(service.hellos) for service in (one, two, three)] == [1, 1, 1]


async def test_one_that_dies_is_left_and_found_again(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two, three = start("one"), start("two"), start("three")
    caller = make_on_session(target=listing(one, two, three))
    before = await until_answer(caller, "one", "two", "three")
    two.stop()
    after = await until_answer(caller, "one", "three")
    assert {key: who for key, who in before.items() if who != "two"} == {
        key: who for key, who in after.items() if before[key] != "two"
    }, "only the keys of the one that has gone move"
    start("two", two.target)
    assert await until_answer(caller, "one", "two", "three") == before


async def test_one_that_drains_is_left_and_answers_what_is_open(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two = start("one"), start("two")
    caller = make_on_session(target=listing(one, two))
    key = next(key for key, who in (await until_answer(caller, "one", "two")).items() if who == "two")
    two.will("GetOrLock", two.held(hit(b"at last")), hit(b"two"))
    held = asyncio.create_task(caller.get(key, never_called))
    await until(lambda: two.heard[-1].request.key == key and len(two._answers["GetOrLock"]) == 1)
    two.takes_sessions = False
    two.sessions[-1].tell(pb.SessionEvent(draining=pb.Draining(closes_in_ms=60_000)))
    await until_answer(caller, "one")
    assert not held.done()
    two.gate.set()
    assert await held == b"at last"


async def test_where_one_is_down_the_others_have_all_calls(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one = start("one")
    caller = make_on_session(target=f"127.0.0.1:1,127.0.0.1:2,{one.target}", on_unavailable="fail")
    # From the first call on.
    assert set((await answers(caller)).values()) == {"one"}


async def test_one_that_takes_connections_and_says_nothing_holds_up_only_who_comes_first(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one = start("one")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"{one.target},127.0.0.1:{silent.getsockname()[1]}"
        caller = make_on_session(target=target, on_unavailable="fail", connect=5)
        assert set((await answers(caller)).values()) == {"one"}
        began = monotonic()
        for _ in range(4):
            assert set((await answers(caller)).values()) == {"one"}
        assert monotonic() - began < 4 * 5 - 5, "it is tried behind the calls"


@pytest.mark.parametrize("refusal", ["UNIMPLEMENTED", "UNAVAILABLE"])
async def test_without_sessions_calls_go_one_by_one_to_who_answers(
    start: Callable[..., FakeService], make_on_session: MakeCaller, refusal: str
) -> None:
    one, two, three = start("one"), start("two"), start("three")
    for service in (one, two, three):
        service.takes_sessions = False
    if refusal == "UNAVAILABLE":
        three.will("GetOrLock", Refusal(grpc.StatusCode.UNAVAILABLE))
    expected = ["one", "two"] if refusal == "UNAVAILABLE" else ["one", "two", "three"]
    for options in ({}, {"session": False}):
        caller = make_on_session(target=listing(one, two, three), on_unavailable="fail", **options)
        await until_answer(caller, *expected)


async def test_a_lease_is_published_although_its_replica_has_gone(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two = start("one"), start("two")
    caller = make_on_session(target=listing(one, two))
    key = next(key for key, who in (await until_answer(caller, "one", "two")).items() if who == "two")
    for service in (one, two):
        service.will("Publish", STORED)
        service.will("Release", RELEASED)
    two.will("GetOrLock", lease())

    async def rebuild(_: Any) -> bytes:
        await asyncio.to_thread(two.stop)
        return b"v"

    assert await caller.get(key, rebuild) == b"v"
    await until(lambda: one.requests("Publish"))


async def test_a_token_that_cannot_be_had_for_a_while_loses_no_address_for_good(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two = start("one"), start("two")
    broken, failures = False, 0

    def token() -> str:
        nonlocal failures
        if broken and threading.current_thread().name == "dibs-endpoints":
            failures += 1
            raise OSError("the vault is sealed")
        return "secret"

    caller = make_on_session(target=listing(one, two), token=token)
    await until_answer(caller, "one", "two")
    broken = True
    two.stop()
    await until(lambda: failures > 0)
    broken = False
    await asyncio.sleep(0.1)
    assert caller.client._link.endpoints._keeper.is_alive()
    start("two", two.target)
    await until_answer(caller, "one", "two")


class TestAName:
    """What DNS says is told here: the addresses of `dibs.test`."""

    @pytest.fixture
    def known(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        known: list[str] = []
        real = socket.getaddrinfo

        def lookup(host: Any, port: Any, *args: Any, **how: Any) -> Any:
            if host != "dibs.test":
                return real(host, port, *args, **how)
            if not known:
                raise socket.gaierror("no such name")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, int(port))) for ip in known]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        return known

    async def test_with_several_addresses_has_a_session_with_each(
        self, start: Callable[..., FakeService], make_on_session: MakeCaller, known: list[str]
    ) -> None:
        known += ["127.0.0.1", "127.0.0.2"]
        one = start("one")
        port = one.target.partition(":")[2]
        two = start("two", f"127.0.0.2:{port}")
        caller = make_on_session(target=f"dns:///dibs.test:{port}")
        await until_answer(caller, "one", "two")
        assert [len(service.hellos) for service in (one, two)] == [1, 1]
        # An address that comes later is found when another one fails.
        three = start("three", f"127.0.0.3:{port}")
        known[:] = ["127.0.0.1", "127.0.0.3"]
        two.stop()
        await until_answer(caller, "one", "three")
        assert len(three.hellos) == 1

    def test_hangs_no_call_if_its_first_session_cannot_be_opened(
        self, known: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_session(*_: Any) -> Any:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr("dibs.used_channel.Session", no_session)
        client = Client("dibs.test:1", connect=0.2)
        assert client.get_or_rebuild("k", lambda: b"mine", ttl=1, codec=BYTES, timeout=PATIENCE_S) == b"mine"
        client.close()

    def test_is_looked_up_by_a_later_call_if_there_was_no_thread_for_it(
        self, known: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = threading.Thread.start
        refused: list[threading.Thread] = []

        def start_one(thread: threading.Thread) -> None:
            if thread.name == "dibs-endpoints" and not refused:
                refused.append(thread)
                raise RuntimeError("can't start new thread")
            begin(thread)

        monkeypatch.setattr(threading.Thread, "start", start_one)
        client = Client("dibs.test:1", connect=0.2)
        for _ in range(2):
            assert client.get_or_rebuild("k", lambda: b"mine", ttl=1, codec=BYTES, timeout=PATIENCE_S) == b"mine"
        client.close()

    async def test_shows_the_certificate_of_the_name(
        self, start: Callable[..., FakeService], make_on_session: MakeCaller, known: list[str], tmp_path: Path
    ) -> None:
        path, key = made_in(tmp_path, "DNS:dibs.test")
        known += ["127.0.0.1", "127.0.0.2"]
        one = start("one", credentials=credentials_of(path, key))
        port = one.target.partition(":")[2]
        start("two", f"127.0.0.2:{port}", credentials=credentials_of(path, key))
        caller = make_on_session(target=f"dibs.test:{port}", tls_ca=str(path), on_unavailable="fail")
        await until_answer(caller, "one", "two")

    @pytest.mark.parametrize("ips", [[], ["127.0.0.1"], ["::1"]])
    def test_with_one_address_or_none_is_left_to_grpc(self, known: list[str], ips: list[str]) -> None:
        known += ips
        client = Client("dibs.test:1", connect=0.2)
        assert client.get_or_rebuild("k", lambda: b"mine", ttl=1, codec=BYTES) == b"mine"
        assert [one.address for one in client._link.endpoints.all] == [Address("dibs.test:1")]
        client.close()

    def test_that_is_looked_up_for_ever_holds_up_no_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = threading.Event()

        def lookup(*_: Any, **how: Any) -> Any:
            gate.wait(PATIENCE_S)
            raise socket.gaierror("no such name")

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        client = Client("dibs.test:1", connect=0.2)
        began = monotonic()
        assert client.get_or_rebuild("k", lambda: b"mine", ttl=1, codec=BYTES) == b"mine"
        assert monotonic() - began < PATIENCE_S / 2
        gate.set()
        client.close()

    @pytest.mark.parametrize(
        ("target", "is_name"),
        [
            ("dibs.test:1", True),
            ("dns:///dibs.test:1", True),
            ("dns:dibs.test:1", True),
            ("dns://10.0.0.1/dibs.test:1", False),
            ("localhost:1", False),
            ("a.localhost:1", True),
            ("127.0.0.1:1", False),
            ("[::1]:1", False),
            ("ipv4:127.0.0.1:1", False),
            ("dibs.test:1,dibs.test:2", False),
            ("unix:///run/dibs.sock", False),
        ],
    )
    def test_is_what_this_process_may_look_up(self, target: str, is_name: bool) -> None:
        assert (Name.of(target) is not None) == is_name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_a_fork_with_calls_open_leaves_parent_and_child_working(start: Callable[..., FakeService], kind: str) -> None:
    one, two = start("one"), start("two")
    for service in (one, two):
        service.will("GetOrLock", hit(b'"theirs"'))
    env = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-c", FORK, listing(one, two), kind]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    with parent:
        while not (one.hellos and two.hellos):
            threading.Event().wait(0.002)
        said, _ = parent.communicate("\n", timeout=2 * PATIENCE_S)
    assert said.splitlines() == ["[0, 0, 0]", "['theirs', 'theirs', 'theirs', 'theirs'] theirs"]


def test_a_client_that_is_closed_has_no_threads_left(start: Callable[..., FakeService]) -> None:
    one, two = start("one"), start("two")
    before = {thread.name for thread in threading.enumerate() if thread.name.startswith("dibs")}
    with Client(listing(one, two)) as client:
        client.get_or_rebuild("k", lambda: b"", ttl=1, codec=BYTES)
        keeper = next(thread for thread in threading.enumerate() if thread.name == "dibs-endpoints")
        assert before == set() or keeper.is_alive()
    keeper.join(PATIENCE_S)
    assert not keeper.is_alive()


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("a:1", ["a:1"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        ("a:1,[::1]:2,a:1", ["a:1", "[::1]:2"]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", ["ipv4:10.0.0.1:1", "ipv4:10.0.0.2:2"]),
        ("ipv6:[::1]:1,[::2]:2", ["ipv6:[::1]:1", "ipv6:[::2]:2"]),
        ("unix:///a,b", ["unix:///a,b"]),
    ],
)
def test_a_list_is_read(target: str, addresses: list[str]) -> None:
    assert [address.target for address in listed(target)] == addresses
    hosts_of(target)


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("target", ["a:1,", ",a:1", "a:1,,b:2", "a:1,b", "a:1,b:0", "a:1,b:65536", "a:1, b:2"])
def test_a_typo_in_a_list_is_an_error_at_once(make: Callable[[str], Any], target: str) -> None:
    with pytest.raises(Exception, match=r"target: .* cannot be read; give HOST:PORT, a list of them"):
        make(target)


def test_no_process_uses_more_than_its_share_of_many_replicas() -> None:
    def at(count: int) -> list[Address]:
        return [Address(f"ipv4:10.0.0.{at}:1") for at in range(count)]

    assert set(some_of(at(ADDRESSES_MAX), [])) == set(at(ADDRESSES_MAX))
    assert len(some_of(at(ADDRESSES_MAX + 1), [])) == ADDRESSES_MAX
    before = some_of(at(20), [])
    assert some_of(at(30), before) == before, "those that are used stay"
    assert some_of(at(30), [Address("gone"), before[0]])[0] == before[0]
