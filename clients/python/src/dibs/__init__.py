"""The Python client of Dibs: one caller rebuilds an expired cache value, and all others get its result."""

from dibs.async_client import AsyncClient
from dibs.cached import AsyncCached, Cached
from dibs.client import Client
from dibs.codec import BYTES, JSON, Codec
from dibs.errors import (
    BusyError,
    DibsError,
    InvalidOptionError,
    LeaseLostError,
    ManyError,
    RebuildFailedError,
    ReentrantRebuildError,
    ServiceError,
    UndecodableError,
)
from dibs.explaining import Explanation, LeaseInfo, PastLease, ValueInfo
from dibs.hooks import Hooks
from dibs.invalidating import Invalidated
from dibs.near_cache import NearCache
from dibs.options import GetOptions, RebuildOptions, SetOptions
from dibs.rebuild_context import AsyncRebuild, Rebuild
from dibs.typed_json import json_of
from dibs.values import Value
from dibs.write_through import Stored

__all__ = [
    "BYTES",
    "JSON",
    "AsyncCached",
    "AsyncClient",
    "AsyncRebuild",
    "BusyError",
    "Cached",
    "Client",
    "Codec",
    "DibsError",
    "Explanation",
    "GetOptions",
    "Hooks",
    "InvalidOptionError",
    "Invalidated",
    "LeaseInfo",
    "LeaseLostError",
    "ManyError",
    "NearCache",
    "PastLease",
    "Rebuild",
    "RebuildFailedError",
    "RebuildOptions",
    "ReentrantRebuildError",
    "ServiceError",
    "SetOptions",
    "Stored",
    "UndecodableError",
    "Value",
    "ValueInfo",
    "json_of",
]
