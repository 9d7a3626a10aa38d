"""Secrets that are set where the path of a file belongs. No error repeats them, as errors are logged."""

from __future__ import annotations

import errno
import os
import re

#: Longer paths are rare, and most private keys are longer.
_SHOWN_PATH_MAX = 255
#: PEM, also in base64, or only what stands within its lines.
_PEM = re.compile(r"-----BEGIN|^\s*LS0tLS1CRUdJTi|^\s*M[A-Za-z0-9+/_-]{60,}={0,2}\s*$")
#: A token may be any text, so only what begins with a folder counts as a path.
_BEGINS_WITH_FOLDER = re.compile(r"(?:[A-Za-z]:|~|\.\.?)?[\\/]")
#: Base64 may begin with a slash too.
_RANDOM = re.compile(r"[+=]|[A-Za-z0-9]{20}")


def check_pem(option: str, variable: str, path: str) -> None:
    """Raises an OSError that repeats nothing, if the value is no file and looks like the content of one."""
    _check(option, variable, path, _maybe_content(path), "looks like")


def check_token(option: str, variable: str, path: str) -> None:
    """The same for the file of a token."""
    is_path = _BEGINS_WITH_FOLDER.match(path) is not None and _RANDOM.search(path) is None
    _check(option, variable, path, _maybe_content(path) or not is_path, "may be")


def _maybe_content(path: str) -> bool:
    return len(path) > _SHOWN_PATH_MAX or re.search(r"[\r\n]", path) is not None or _PEM.search(path) is not None


def _check(option: str, variable: str, path: str, secret: bool, seems: str) -> None:
    # An attempt to read it would leave its error, which repeats the value, as the context of this one.
    if secret and not os.path.exists(path):
        wanted = f"set the path of the file ({option}, {variable})"
        raise OSError(errno.ENOENT, f"{option}: cannot be read, and {seems} the content of a file; {wanted}")
