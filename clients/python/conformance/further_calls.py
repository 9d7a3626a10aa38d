"""The calls other than get_or_rebuild, and their results in the protocol's words."""

from __future__ import annotations

import base64
from typing import Any

from rebuild_script import seconds

from dibs import BYTES, JSON, AsyncClient, Explanation, Value

Fields = dict[str, Any]

_MISSING = object()


def text_of(data: bytes | None, json: bool) -> Any:
    """The value as the client gets it: bytes, or text that becomes JSON."""
    return data.decode() if json and data is not None else data


def base64_of(value: bytes | str | None) -> str | None:
    """As values travel in the protocol."""
    data = value.encode() if isinstance(value, str) else value
    return None if data is None else base64.b64encode(data).decode()


async def get(client: AsyncClient, fields: Fields) -> Fields:
    """A value, an absence, or nothing."""
    options: Any = {name: fields[name] for name in ("stale", "read", "traceparent", "namespace") if name in fields}
    codec: Any = JSON if fields.get("codec") == "json" else BYTES
    value: Any = await client.get(fields["key"], _MISSING, codec=codec, wait=seconds(fields.get("wait_ms")), **options)
    if value is _MISSING:
        return {"found": "nothing"}
    return {"found": "absent"} if value is None else {"found": "value", "value": base64_of(value)}


async def put(client: AsyncClient, fields: Fields) -> Fields:
    """The result of the publish."""
    json = fields.get("codec") == "json"
    value = None if fields.get("absent") else text_of(base64.b64decode(fields["value"]), json)
    options: Any = {name: fields[name] for name in ("tags", "traceparent", "namespace") if name in fields}
    times = {"ttl_ms": "ttl", "stale_ms": "stale_ttl", "wait_ms": "wait"}
    options.update((name, seconds(fields[ms])) for ms, name in times.items() if ms in fields)
    codec: Any = JSON if json else BYTES
    stored = await client.set(fields["key"], value, codec=codec, **options)
    return {"outcome": stored.outcome, "stored": stored.stored}


def values_of(script: Fields, keys: list[str], json: bool) -> dict[str, Value[Any]]:
    """For a rebuild of many: the values of these keys, as the script defines them."""
    made: dict[str, Value[Any]] = {}
    for key in keys:
        values = script.get("values", {})
        if key not in values and "each" not in script:
            continue
        value = values.get(key, script.get("each"))
        terms = script.get("of", {}).get(key, {})
        made[key] = Value(
            None if value is None else text_of(base64.b64decode(value), json),
            ttl=seconds(terms.get("ttl_ms")),
            stale_ttl=seconds(terms.get("stale_ms")),
            tags=terms.get("tags"),
            store=not terms.get("do_not_store", False),
        )
    return made


async def explain(client: AsyncClient, fields: Fields) -> Fields:
    """An ExplainResponse in the JSON of proto3, from the client's own types."""
    its: Explanation = await client.explain(fields["key"])
    lease, value = its.lease, its.value
    return {
        "lease": lease
        and {
            "holder": lease.holder,
            "fence": lease.fence,
            "ageMs": _ms(lease.age),
            "expiresInMs": _ms(lease.expires_in),
            "reason": f"LEASE_REASON_{lease.reason.upper()}",
            "traceparent": lease.traceparent,
        },
        "waiters": its.waiters,
        "value": value
        and {
            "absent": value.absent,
            "freshness": f"FRESHNESS_{value.freshness.upper()}",
            "sizeBytes": value.size_bytes,
            "ageMs": _ms(value.age),
            "freshForMs": _ms(value.fresh_for),
            "staleForMs": _ms(value.stale_for),
            "fence": value.fence,
            "tags": list(value.tags),
        },
        "fence": its.fence,
        "pastLeases": [
            {
                "holder": past.holder,
                "fence": past.fence,
                "heldMs": _ms(past.held),
                "endedAgoMs": _ms(past.ended_ago),
                "end": f"LEASE_END_{past.end.upper()}",
                "failureMessage": past.failure,
            }
            for past in its.past_leases
        ],
        "failed": None
        if its.failure is None
        else {"message": its.failure, "retryAfterMs": _ms(its.retry_after or 0.0)},
        "degraded": f"DEGRADED_{its.degraded.upper()}",
    }


def _ms(time: float) -> int:
    return round(time * 1_000)
