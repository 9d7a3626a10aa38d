"""The README's examples are right: their types are checked, and those with an assertion are run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent.parent
#: What the examples take from the application that they stand in.
APPLICATION = """
from __future__ import annotations
import dibs
from dibs import Value
from dibs.testing import MemoryClient
from typing import Any

client: Any
async def load_user() -> dict[str, str]: return {}
async def render() -> bytes: return b""
async def rate_and_seconds() -> tuple[float, float]: return 1.0, 2.0
def load_user_by_thread() -> dict[str, str]: return {}

class Shop:
    def __init__(self, client: dibs.Client) -> None:
        self.client, self.queries = client, 0

    def price(self, id: int) -> int | None:
        def query() -> int:
            self.queries += 1
            return 10 * id
        return self.client.get_or_rebuild(f"price:{id}", query, ttl=60)
"""


def examples() -> list[str]:
    return re.findall(r"^```py\n(.*?)^```$", (HERE / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_types_of_the_examples_are_right(tmp_path: Path) -> None:
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
    check = ["--config-file=", "--check-untyped-defs", "--namespace-packages", str(file)]
    # Not where the project's own configuration is.
    done = subprocess.run([sys.executable, "-m", "mypy", *check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_test_in_it_passes() -> None:
    (block,) = (block for block in examples() if "MemoryClient" in block)
    scope: dict[str, object] = {}
    exec(APPLICATION + block + "\ntest_prices_are_read_once_a_minute()", scope)
