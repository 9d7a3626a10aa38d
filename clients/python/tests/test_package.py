"""The packages that users install: built, installed where nothing of the repository is, and used there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from trove_classifiers import classifiers

HERE = Path(__file__).parent.parent

USE = """
import sys
from pathlib import Path

import dibs
from dibs.testing import MemoryClient
from dibs.version import VERSION

assert Path(dibs.__file__).is_relative_to(sys.prefix), dibs.__file__
assert VERSION == "0.1.0"
for name in dibs.__all__:
    getattr(dibs, name)

with MemoryClient() as client:

    @client.cached(ttl=60)
    def user(id: int) -> dict[str, int]:
        return {"id": id}

    assert user(42) == user(id=42) == {"id": 42}
    assert client.get_or_rebuild_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1), ttl=60) == {"a": 1, "b": 1}

wrong: str = dibs.Client
"""


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source package, and the wheel that is built of it."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=HERE)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    run(
        *(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder),
        folder=folder / source.name.removesuffix(".tar.gz"),
    )
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def test_the_source_package_has_what_its_tests_and_licence_need(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "PKG-INFO", "pyproject.toml", "tests/callers.py", "examples/start.py"} <= names


def test_the_wheel_has_types_licence_and_words_of_the_index(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        info = "dibs_client-0.1.0.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {"dibs/py.typed", "dibs/v1/coordinator_pb2.pyi", f"{info}/licenses/LICENSE"} <= names
    assert not any(name.startswith(("tests", "conformance", "examples")) for name in names)
    its = [line.removeprefix("Classifier: ") for line in metadata.splitlines() if line.startswith("Classifier: ")]
    assert "Typing :: Typed" in its
    assert set(its) <= classifiers


def test_it_works_in_an_environment_of_its_own(built: tuple[Path, Path], tmp_path: Path) -> None:
    env = tmp_path / "env"
    run(sys.executable, "-m", "venv", "--without-pip", env, folder=tmp_path)
    python = env / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python),
        "install",
        "--no-index",
        "--no-deps",
        built[1],
        folder=tmp_path,
    )
    # What it depends on is installed here already. A path of a `.pth` file has none of its own, such as that of the
    # sources of this package.
    (packages,) = (env / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    file = tmp_path / "use.py"
    file.write_text(USE)
    run(python, file, folder=tmp_path)
    for checker in (
        ("mypy", "--config-file=", "--strict", "--python-executable", str(python)),
        ("basedpyright", "--level", "error", "--pythonpath", str(python)),
    ):
        done = subprocess.run([sys.executable, "-m", *checker, str(file)], cwd=tmp_path, capture_output=True, text=True)
        # They know the types: they find the one error.
        errors = [line for line in done.stdout.splitlines() if "error" in line and "use.py:" in line]
        assert len(errors) == 1, done.stdout + done.stderr
        assert f":{USE.count(chr(10))}" in errors[0], errors
