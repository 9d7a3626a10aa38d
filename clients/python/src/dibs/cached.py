"""Functions whose results are cached: the key of a call, and its operations."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import string
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from dibs.invalidating import Invalidated

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

#: The contract's bound of a key, and what is kept of one that would be longer.
_KEY_BYTES_MAX = 1_024
_KEY_BYTES_KEPT = 900
#: Types that print the same in every process, and differently for different values.
_SAID: tuple[type, ...] = (str, int, float, bool, bytes, type(None), UUID, Decimal, datetime, date, time, timedelta)

KeyOf = Callable[..., str]


class _Asks(Protocol):
    """What a cached function uses: one call with its key, whether it refreshes, and its rebuild."""

    def get(self, key: str, rebuild: Callable[[], Any], refresh: bool) -> Any: ...
    def invalidate(self, key: str) -> Any: ...


class _Bindable(Generic[P, R]):
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[..., Any], key_of: KeyOf, asks: _Asks, *bound: Any) -> None:
        functools.update_wrapper(self, fn)  # type: ignore[arg-type]
        self._fn = fn
        self._key_of = key_of
        self._asks = asks
        #: The object that it is a method of.
        self._bound = bound

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of these arguments, for `invalidate` of a client and for Explain."""
        return self._key_of(*self._bound, *args, **kwargs)

    def __reduce__(self) -> str:
        # By its name, like a function.
        return self._fn.__qualname__

    def _get(self, args: Any, kwargs: Any, refresh: bool) -> Any:
        args = (*self._bound, *args)
        return self._asks.get(self._key_of(*args, **kwargs), lambda: self._fn(*args, **kwargs), refresh)


class Cached(_Bindable[P, R]):
    """A cached function of a Client. A call returns the value of its key by `get_or_rebuild`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._get(args, kwargs, refresh=False)  # type: ignore[no-any-return]

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function now, even if the value of these arguments is fresh, and caches its result."""
        return self._get(args, kwargs, refresh=True)  # type: ignore[no-any-return]

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Invalidated:
        """Drops the value of these arguments. Commit to the source first, then invalidate."""
        return self._asks.invalidate(self.key(*args, **kwargs))  # type: ignore[no-any-return]

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Cached[P, R]: ...
    @overload
    def __get__(self: Cached[Concatenate[Any, Q], R], instance: object, owner: Any, /) -> Cached[Q, R]: ...
    def __get__(self, instance: object, owner: Any = None, /) -> Any:
        """As a method, it belongs to the object."""
        return self if instance is None else Cached(self._fn, self._key_of, self._asks, instance)


class AsyncCached(_Bindable[P, R]):
    """A cached function of an AsyncClient. A call returns the value of its key by `get_or_rebuild`."""

    def __init__(self, fn: Callable[..., Any], key_of: KeyOf, asks: _Asks, *bound: Any) -> None:
        super().__init__(fn, key_of, asks, *bound)
        # Frameworks check whether it is a coroutine function before they call it.
        if hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(self)
        else:
            self._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._get(args, kwargs, refresh=False)  # type: ignore[no-any-return]

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function now, even if the value of these arguments is fresh, and caches its result."""
        return await self._get(args, kwargs, refresh=True)  # type: ignore[no-any-return]

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Invalidated:
        """Drops the value of these arguments. Commit to the source first, then invalidate."""
        return await self._asks.invalidate(self.key(*args, **kwargs))  # type: ignore[no-any-return]

    @overload
    def __get__(self, instance: None, owner: Any, /) -> AsyncCached[P, R]: ...
    @overload
    def __get__(self: AsyncCached[Concatenate[Any, Q], R], instance: object, owner: Any, /) -> AsyncCached[Q, R]: ...
    def __get__(self, instance: object, owner: Any = None, /) -> Any:
        """As a method, it belongs to the object."""
        return self if instance is None else AsyncCached(self._fn, self._key_of, self._asks, instance)


def key_maker(key: str | KeyOf | None, fn: Callable[..., Any]) -> KeyOf:
    """Makes the key of a call of `fn`: by a template or a function, or from its name and arguments.

    Raises ValueError if the template names something that `fn` does not have.
    """
    if key is not None and not isinstance(key, str):
        return key
    signature = inspect.signature(fn)
    if key is None:
        return lambda *args, **kwargs: _default_key(fn, signature, args, kwargs)
    template = key
    fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    for field in fields:
        if field.split(".")[0].split("[")[0] not in signature.parameters:
            raise ValueError(f"key {template!r}: {fn.__qualname__} has no parameter {field!r}")

    @functools.wraps(fn)
    def made(*args: Any, **kwargs: Any) -> str:
        return template.format_map(_arguments(signature, args, kwargs))

    return made


def _arguments(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """By the names of their parameters, so that a call has one key however it is written."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _default_key(fn: Callable[..., Any], signature: inspect.Signature, args: Any, kwargs: Any) -> str:
    name = f"{fn.__module__}.{fn.__qualname__}"
    said = [f"{its}={_said(value, its, name)}" for its, value in _arguments(signature, args, kwargs).items()]
    key = f"{name}({','.join(said)})"
    data = key.encode()
    if len(data) <= _KEY_BYTES_MAX:
        return key
    return f"{data[:_KEY_BYTES_KEPT].decode('utf-8', 'ignore')}…{hashlib.sha256(data).hexdigest()}"


def _said(value: Any, parameter: str, name: str) -> str:
    """Raises TypeError for a value that may print differently in another process, or like another value."""
    if isinstance(value, Enum):
        # A combination of flags may have no name.
        its = f"({value.value!r})" if value.name is None else f".{value.name}"
        return f"{type(value).__qualname__}{its}"
    if type(value) in _SAID:
        return repr(value)
    if type(value) in (tuple, list):
        its = ",".join(_said(one, parameter, name) for one in value)
        return f"[{its}]" if type(value) is list else f"({its})"
    if isinstance(value, Mapping):
        said = sorted(f"{_said(key, parameter, name)}:{_said(its, parameter, name)}" for key, its in value.items())
        return f"{{{','.join(said)}}}"
    raise TypeError(f"{name}: a key cannot be made of {parameter}, a {type(value).__name__}; give key=")
