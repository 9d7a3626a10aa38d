"""The examples of the README and its pages are right: their types are checked, and those with an assertion are run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
#: What the examples take from the application that they stand in.
APPLICATION = """
from __future__ import annotations
import dibs
from dibs import Value
from dibs.testing import MemoryClient
from dataclasses import dataclass
from typing import Any

client: Any
async def load_user() -> dict[str, str]: return {}
async def load_users(keys: list[str]) -> dict[str, dict[str, str]]: return {}
async def render() -> bytes: return b""
async def rate_and_seconds() -> tuple[float, float]: return 1.0, 2.0
def load_user_by_thread() -> dict[str, str]: return {}

@dataclass
class User:
    name: str

def load(id: int) -> User: return User("Ada")

class Shop:
    def __init__(self, client: dibs.Client) -> None:
        self.client, self.queries = client, 0

    def price(self, id: int) -> int | None:
        def query() -> int:
            self.queries += 1
            return 10 * id
        return self.client.get_or_rebuild(f"price:{id}", query, ttl=60)
"""

#: What type checkers know of cached functions and methods.
METHODS = """
from dataclasses import dataclass
from typing_extensions import assert_type
import dibs

@dataclass
class User:
    name: str

client, loop_client = dibs.Client(), dibs.AsyncClient()

class Users:
    @client.cached(key="user:{id}", ttl=60)
    def get(self, id: int, lang: str = "en") -> User:
        return User("Ada")

    @loop_client.cached(key="user:{id}", ttl=60)
    async def get_soon(self, id: int) -> User:
        return User("Ada")

users = Users()
assert_type(users.get(7), User)
assert_type(users.get(id=7, lang="de"), User)
assert_type(users.get.refresh(7), User)
assert_type(users.get.invalidate(7), dibs.Invalidated)
assert_type(users.get.key(7), str)
assert_type(dibs.json_of(User).decode(b""), User)

async def soon() -> None:
    assert_type(await users.get_soon(7), User)
    assert_type(await users.get_soon.refresh(7), User)
    assert_type(await users.get_soon.invalidate(7), dibs.Invalidated)
"""


def examples() -> list[str]:
    pages = "".join(page.read_text() for page in sorted(HERE.glob("*.md")))
    return re.findall(r"^```py\n(.*?)^```$", pages, re.DOTALL | re.MULTILINE)


@pytest.fixture
def typed_examples(tmp_path: Path) -> Path:
    """A file of all of them, where the project's own configuration is not."""
    blocks = [
        # The client for threads takes no async function.
        f"async def example_{at}() -> None:\n"
        + textwrap.indent(
            block.replace("load_user", "load_user_by_thread") if "with dibs.Client" in block else block, "    "
        )
        for at, block in enumerate(examples())
    ]
    assert len(blocks) >= 5
    file = tmp_path / "readme.py"
    file.write_text("\n".join([APPLICATION, *blocks]))
    return file


def passes(checker: str, *options: str, folder: Path) -> None:
    command = [sys.executable, "-m", checker, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_their_types_right(typed_examples: Path) -> None:
    options = ["--config-file=", "--check-untyped-defs", "--namespace-packages", str(typed_examples)]
    passes("mypy", *options, folder=typed_examples.parent)


def test_pyright_finds_their_types_right(typed_examples: Path) -> None:
    # Its own default in place of the stricter one of this build of it, which comes with all that it runs on.
    (typed_examples.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    passes("basedpyright", "--pythonpath", sys.executable, str(typed_examples), folder=typed_examples.parent)


def test_pyright_finds_the_examples_right(tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    (tmp_path / "methods.py").write_text(METHODS)
    files = [str(file) for file in (HERE / "examples").glob("*.py")]
    passes("basedpyright", "--pythonpath", sys.executable, "methods.py", *files, folder=tmp_path)
    options = ["--config-file=", "--strict", str(tmp_path / "methods.py")]
    passes("mypy", *options, folder=tmp_path)


def test_the_unit_test_in_it_passes() -> None:
    (block,) = (block for block in examples() if "MemoryClient" in block)
    scope: dict[str, object] = {}
    exec(APPLICATION + block + "\ntest_prices_are_read_once_a_minute()", scope)
