"""Logits of texts under word masks, each set of words of a text computed once, whoever asks for it.

Perturbation methods, faithfulness metrics and every question about a text ask for the model's answer with some words
masked. A pool remembers the answers: leave-one-out sets, prefixes and random sets that come up twice are run once, and
several questions about one text (its entities) read the same logits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from explain.inputs import Encoded, Explainable
from explain.metrics import MaskCache
from explain.questions import Question

Key = tuple[str, bytes]


class Pool:
    """The masked inputs of one model.

    batch_tokens: padded tokens in one forward. texts: texts whose answers are kept, the least recently used goes
    first; a kept text takes 8 bytes x classes (x places read, for taggers) for each set of words asked: a megabyte or
    two a text for the suite's metrics. `rows` counts what was run, `asked` what was asked.
    """

    def __init__(self, model: Explainable, batch_tokens: int = 4096, texts: int = 16) -> None:
        if batch_tokens < 1 or texts < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}, texts is {texts}: give 1 or more")
        self.model = model
        self.rows = self.asked = 0
        self._batch_tokens, self._texts = batch_tokens, texts
        self._places: dict[Key, tuple[int, ...]] = {}
        self._known: OrderedDict[Key, MaskCache] = OrderedDict()

    def expect(self, questions: Sequence[Question]) -> None:
        """Says which places of each text will be read, so that one run answers all questions about it.

        Answers known of a text are forgotten where they lack one of the places.
        """
        for question in questions:
            key = _key(question.encoded)
            before = self._places.get(key)
            if before is None or not set(question.places) <= set(before):
                self._places[key] = tuple(sorted({*(before or ()), *question.places}))
                self._known.pop(key, None)

    def read(self, question: Question, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        """keep (m, words of the text) bool -> (m, places, classes) float64 logits, one place where the question has
        none; words not kept are masked.

        The module is used as it is: call this inside `explain.inputs.frozen`.
        """
        self.asked += len(keep)
        self.expect([question])
        encoded, key = question.encoded, _key(question.encoded)
        places = self._places[key]
        if key not in self._known:
            self._known[key] = MaskCache(lambda rows: self._evaluate(encoded, rows, places))
            while len(self._known) > self._texts:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        answers = self._known[key](keep)
        return answers[:, [places.index(place) for place in question.places]] if places else answers[:, None]

    def _evaluate(self, encoded: Encoded, keep: NDArray[np.bool_], places: tuple[int, ...] = ()) -> NDArray[np.float64]:
        self.rows += len(keep)
        kept = torch.from_numpy(np.ascontiguousarray(keep))
        # a column for "no word" at the end, where index -1 finds it: special tokens always stay
        kept = torch.cat([kept, torch.ones(len(kept), 1, dtype=torch.bool)], dim=1)
        ids = torch.where(kept[:, encoded.word_of], encoded.ids, self.model.mask_id)
        answers = []
        with torch.no_grad():
            for part in ids.split(max(1, self._batch_tokens // ids.shape[1])):
                embeds = self.model.embed(part)
                mask = torch.ones(part.shape, dtype=torch.long, device=embeds.device)
                if places:
                    read = torch.tensor(places, device=embeds.device).expand(len(part), -1)
                    answers.append(self.model.logits(embeds, mask, read).cpu())
                else:
                    answers.append(self.model.logits(embeds, mask).cpu())
        return torch.cat(answers).double().numpy()


def _key(encoded: Encoded) -> Key:
    return encoded.text, encoded.ids.numpy().tobytes()
