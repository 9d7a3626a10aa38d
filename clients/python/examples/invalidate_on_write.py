"""Commit to the source first, then invalidate: a rebuild that began before cannot bring the old value back."""

from dibs import Client

database = {"price": "10"}
key = "example:price"

with Client() as client:

    def read() -> str | None:
        return client.get_or_rebuild(key, lambda: database["price"], ttl=60)

    before = read()
    database["price"] = "12"
    client.invalidate([key])
    after = read()

print(f"{before}, then {after}")
