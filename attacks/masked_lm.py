"""A masked language model that proposes words for a gap in a text, or in place of a word that it sees.

It stands in for BERT, RoBERTa and their kin, which cannot be had offline; `attacks.masked_lm_training` makes it. Its
folder lies beside the lexicon's, in Hugging Face layout (`model.safetensors`, `config.json`, `tokenizer.json`), with a
`manifest.json` that is written last: without it the folder does not count.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from attacks import lanes
from attacks.batching import blocks, grain
from attacks.memory import Memory

if TYPE_CHECKING:
    import torch

VERSION = 1
NAME = "masked-lm"
MANIFEST = "manifest.json"
MAX_PIECES = 128  # of a text, those around the gap or the word
REMEMBERED = 20_000  # answers of some 50 words each: about 100 MB when full
LONGEST = 16  # pieces; a longer word is no word, and nothing is proposed for it
CONTINUATION = "##"

Answer = tuple[tuple[str, float], ...]  # (letters, log-probability), the highest first


def beside(lexicon: Path) -> Path:
    """Where the masked language model of the lexicon in this folder lies, built or not."""
    return lexicon.parent / NAME


def manifest(folder: Path) -> dict[str, Any] | None:
    """What the model in `folder` was made of; None when it is absent, incomplete or of another version."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in found["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if whole and found.get("version") == VERSION else None


def fingerprint(made: dict[str, Any]) -> str:
    """16 hex digits over the inputs, the settings and the versions of a manifest, not over the weights.

    Two builds from the same inputs may differ in their last bits where machines or numbers of threads do.
    """
    known = {name: made[name] for name in ("version", "inputs", "settings", "versions")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


class Question(NamedTuple):
    """Which `most` pieces of a `kind` are the likeliest at a `place` of a `row` of ids, no special ones around it."""

    row: tuple[int, ...]
    place: int
    kind: str
    most: int


class MaskedLM:
    """Words from the model in `folder`, which is loaded at the first question, in eval mode, on the CPU.

    An answer does not depend on the questions it is given with, to the last bit (attacks/batching.py), so answers are
    remembered and lanes (attacks/lanes.py) are answered together. `forwarded` counts the questions that went through
    the model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forwarded = 0
        self._memory: Memory[Question, Answer] = Memory(REMEMBERED)

    @property
    def fingerprint(self) -> str:
        """`fingerprint` of the manifest."""
        return fingerprint(json.loads((self.folder / MANIFEST).read_text(encoding="utf-8")))

    def fill(self, gaps: Sequence[tuple[str, str]], count: int) -> list[list[tuple[str, float]]]:
        """For each gap, given as (text before, text after): the `count` (>= 1) likeliest whole words in it.

        A word comes with its probability in 0..1 over the whole vocabulary, the likeliest first; words are in lower
        case, of the letters a to z, two or more of them but for "a" and "i".
        """
        if not gaps:
            return []
        mask = self._tokenizer.mask_token_id
        coded = self._tokenizer([part for gap in gaps for part in gap], add_special_tokens=False, verbose=False)
        parts, questions = coded["input_ids"], []
        for left, right in zip(parts[::2], parts[1::2], strict=True):
            start, stop = _around(len(left), len(left) + 1, len(left) + 1 + len(right))
            row = tuple([*left, mask, *right][start:stop])
            questions.append(Question(row, len(left) - start, "whole", count))
        return [[(word, math.exp(log)) for word, log in answer] for answer in self._ask(questions)]

    def spell(self, text: str, begin: int, end: int, count: int) -> list[str]:
        """The `count` (>= 1) words that the model finds likeliest in place of text[begin:end], which it sees.

        Each piece of the word becomes one of its own kind, one that begins a word or one that goes on with it; what
        is no letter stays. With several pieces these are exactly the combinations of the lowest perplexity, the
        exponential of the mean negative log-probability of the pieces. The word itself may be among them.
        """
        coded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, spans = coded["input_ids"], coded["offset_mapping"]
        inside = [i for i, (first, last) in enumerate(spans) if first < end and last > begin]
        if not 1 <= len(inside) <= LONGEST or set(self._tokenizer.all_special_ids) & {ids[i] for i in inside}:
            return []
        start, stop = _around(inside[0], inside[-1] + 1, len(ids))
        row, questions, letters = tuple(ids[start:stop]), {}, {}
        for i, piece in zip(inside, self._tokenizer.convert_ids_to_tokens([ids[i] for i in inside]), strict=True):
            letters[i] = piece.removeprefix(CONTINUATION)
            if letters[i].isascii() and letters[i].isalpha():
                kind = "continue" if letters[i] != piece else "whole" if len(inside) == 1 else "begin"
                questions[i] = Question(row, i - start, kind, count)
        answers = dict(zip(questions, self._ask(list(questions.values())), strict=True))
        best = [("", 0.0)]
        for i in inside:
            # scores add up, so what the best words of n pieces start with is among the best of n - 1
            found = answers.get(i, ((letters[i], 0.0),))
            joined = [(word + more, score + log) for word, score in best for more, log in found]
            best = sorted(joined, key=lambda pair: (-pair[1], pair[0]))[:count]
        return [word for word, _ in best]

    def _ask(self, questions: Sequence[Question]) -> Sequence[Answer]:
        return lanes.ask(cast(Any, self._serve), cast(Any, questions)) if questions else []

    def _serve(self, questions: Sequence[Question]) -> list[Answer]:
        return self._memory.answers(questions, self._forward)

    @cached_property
    def _model(self) -> Any:
        from transformers import BertForMaskedLM

        from attacks.kernels import quicken

        return quicken(BertForMaskedLM.from_pretrained(self.folder, local_files_only=True, use_safetensors=True).eval())

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, local_files_only=True, use_fast=True)

    @cached_property
    def _kinds(self) -> dict[str, tuple[torch.Tensor, list[str]]]:
        """Kind of piece -> (their ids, what they say): whole words, what begins a word, what goes on with one."""
        import torch

        pieces = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        kinds: dict[str, list[tuple[int, str]]] = {"whole": [], "begin": [], "continue": []}
        for piece, number in pieces:
            letters = piece.removeprefix(CONTINUATION)
            if not (letters.isascii() and letters.isalpha()):
                continue
            kinds["continue" if piece.startswith(CONTINUATION) else "begin"].append((number, letters))
            if letters == piece and (len(letters) > 1 or letters in "ai"):
                kinds["whole"].append((number, letters))
        return {
            kind: (torch.tensor([n for n, _ in found], dtype=torch.long), [letters for _, letters in found])
            for kind, found in kinds.items()
        }

    def _forward(self, questions: Sequence[Question]) -> list[Answer]:
        """The head, whose output layer costs more than a small encoder, sees the asked places only."""
        import torch

        self.forwarded += len(questions)
        tokenizer, model = self._tokenizer, self._model
        answers: list[Answer] = [()] * len(questions)
        lengths = [len(question.row) + 2 for question in questions]
        threads = torch.get_num_threads()
        # the head's products are over the questions alone
        for block in blocks(lengths, "cpu", threads, MAX_PIECES, rows=grain("cpu", threads)):
            ids = torch.full((block.size, block.length), tokenizer.pad_token_id)
            attention = torch.zeros_like(ids)
            for i, number in enumerate(block.filled):
                row = [tokenizer.cls_token_id, *questions[number].row, tokenizer.sep_token_id]
                ids[i, : len(row)], attention[i, : len(row)] = torch.tensor(row), 1
            with torch.inference_mode():
                hidden = model.bert(input_ids=ids, attention_mask=attention).last_hidden_state
                places = torch.tensor([questions[number].place + 1 for number in block.filled])
                logs = torch.log_softmax(model.cls(hidden[torch.arange(block.size), places]).float(), dim=-1)
            for log, number in zip(logs, block.rows, strict=False):
                answers[number] = self._likeliest(log, questions[number])
        return answers

    def _likeliest(self, logs: torch.Tensor, question: Question) -> Answer:
        ids, letters = self._kinds[question.kind]
        found = logs[ids].topk(min(question.most, len(ids)))
        places, values = found.indices.tolist(), found.values.tolist()
        return tuple((letters[place], value) for place, value in zip(places, values, strict=True))


def _around(begin: int, end: int, length: int) -> tuple[int, int]:
    """(start, stop) of at most MAX_PIECES - 2 of `length` pieces, begin..end in the middle where there is room."""
    size = MAX_PIECES - 2
    start = max(0, min((begin + end - size) // 2, length - size))
    return start, min(length, start + size)
