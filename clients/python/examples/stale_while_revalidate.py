"""A value past its TTL is served at once while one caller rebuilds it in the background."""

from time import perf_counter, sleep

from dibs import Client

version = 0


def render() -> str:
    global version
    version += 1
    sleep(2)
    return f"page {version}"


with Client() as client:

    def read() -> str | None:
        return client.get_or_rebuild("example:page", render, ttl=0.1, stale_ttl=60)

    first = read()
    sleep(0.15)
    started_at = perf_counter()
    stale = read()
    waited = "at once" if perf_counter() - started_at < 2 else "after a wait"
    client.flush()  # until the rebuild has ended
    following = read()

print(f"{first}, then {stale} {waited}, then {following}")
