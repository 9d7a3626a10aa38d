"""The version of this package, as it was installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("dibs-client")
    except PackageNotFoundError:
        # Its sources are on the path, and nothing was installed.
        return "unknown"


VERSION = _installed()
