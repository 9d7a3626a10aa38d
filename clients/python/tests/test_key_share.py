"""Which replica has a key."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from callers import PATIENCE_S, MakeCaller
from fake_service import FakeService
from replicas import answers, listing, until_answer

from dibs import Client
from dibs.addresses import numeric
from dibs.key_share import hash_of, rank_of
from dibs.sending import Sending
from dibs.steps import Call
from dibs.v1 import coordinator_pb2 as pb

ADDRESSES = ["10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051", "[fd00::1]:50051"]


def share_of(key: str, addresses: list[str]) -> int:
    """Which of the addresses has the key."""
    ranks = [rank_of(hash_of(key), hash_of(address)) for address in addresses]
    return ranks.index(max(ranks))


# The clients of all languages have this table: they must agree.
@pytest.mark.parametrize(
    ("key", "at"),
    [
        ("user:42", 3),
        ("user:43", 0),
        ("user:48", 2),
        ("user:41", 1),
        ("", 3),
        ("a", 3),
        ("product:1", 1),
        ("größe", 3),
        ("価格", 0),
        ("page:/en/index.html", 1),
    ],
)
def test_a_key_has_the_replica_that_every_client_gives_it_to(key: str, at: int) -> None:
    assert share_of(key, ADDRESSES) == at


def test_each_replica_has_its_share_and_only_the_keys_of_one_that_goes_move() -> None:
    counts = [0, 0, 0, 0]
    for at in range(10_000):
        has = share_of(f"key {at}", ADDRESSES)
        counts[has] += 1
        assert has == 0 or share_of(f"key {at}", ADDRESSES[1:]) == has - 1
    assert min(counts) > 2_300, counts


def places(client: Client) -> list[str]:
    """Where the client sends each of many keys, before it knows who answers."""

    def place(at: int) -> str:
        call = Call("GetOrLock", pb.GetOrLockRequest(key=f"key {at}"), 1)
        return str(client._link.endpoints.of(Sending(call, monotonic() + 1)).address.target)

    return [place(at) for at in range(3_000)]


@pytest.mark.parametrize("key_affinity", [False, True])
def test_each_has_its_share_of_the_keys(key_affinity: bool) -> None:
    with Client("a:1,b:2,c:3", key_affinity=key_affinity) as client:
        for _ in range(5):
            counts = Counter(places(client))
            assert min(counts.values()) > 800, counts
            before = places(client)
            client._link.endpoints.after_fork_in_child(client._link._gate)
            assert (places(client) == before) is key_affinity, "a child has shares of its own, unless all agree"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("ipv4:10.0.0.1:1", "10.0.0.1:1"),
        ("ipv6:[FD00:0::1]:1", "[fd00::1]:1"),
        ("[fd00:0:0:0:0:0:0:1]:1", "[fd00::1]:1"),
        ("a:1", None),
        ("dns:///a:1", None),
        ("unix:///run/dibs.sock", None),
    ],
)
def test_all_clients_write_an_address_alike(target: str, text: str | None) -> None:
    assert numeric(target) == text


async def test_with_key_affinity_a_key_has_the_same_replica_in_every_process(
    start: Callable[..., FakeService], make_on_session: MakeCaller
) -> None:
    one, two = start("one"), start("two")

    async def shares(**options: Any) -> dict[str, str]:
        return await until_answer(make_on_session(target=listing(one, two), **options), "one", "two")

    assert await shares(key_affinity=True) == await shares(key_affinity=True)
    assert await shares() != await shares()


async def test_with_key_affinity_names_in_a_list_count_as_their_addresses(
    start: Callable[..., FakeService], make_on_session: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = start("one"), start("two")
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **how: Any) -> Any:
        return real("127.0.0.1" if host == "localhost" else host, port, *args, **how)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    expected = await until_answer(make_on_session(target=listing(one, two), key_affinity=True), "one", "two")
    named = make_on_session(target=listing(one, two).replace("127.0.0.1", "localhost"), key_affinity=True)
    await until_answer(named, "one", "two")
    give_up_at = monotonic() + PATIENCE_S
    while await answers(named) != expected:
        assert monotonic() < give_up_at, "it never agreed"
        await asyncio.sleep(0.05)
