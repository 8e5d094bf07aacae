from __future__ import annotations

import pytest
import torch

from explain.inputs import Explainable, encode, frozen
from tests.explain.conftest import sentences


def test_ids_are_those_of_the_plain_text_and_of_its_words(bert: Explainable) -> None:
    for text in [*sentences(20), "Good, bad!  truly-great\tfilms", "!? ..."]:
        encoded = encode(bert, text)
        assert encoded.ids.tolist() == bert.tokenizer(text)["input_ids"]
        split = bert.tokenizer(text.split(), is_split_into_words=True)
        assert encoded.ids.tolist() == split["input_ids"]
        assert encoded.word_of.tolist() == [-1 if w is None else w for w in split.word_ids()]
        assert encoded.words == tuple(text.split())


def test_byte_level_pieces_find_their_words(roberta: Explainable) -> None:
    text = "good  café 日本"
    encoded = encode(roberta, text)
    assert encoded.ids.tolist() == roberta.tokenizer(text)["input_ids"]
    assert encoded.words == ("good", "café", "日本")
    counts = torch.bincount(encoded.word_of + 1).tolist()
    # bytes: 4, 5 and 6; spaces belong to the word they lead, or to none
    assert counts[1:] >= [4, 5, 6]
    assert sum(counts) == len(encoded.ids)


def test_truncation_drops_words_and_says_so(bert: Explainable) -> None:
    encoded = encode(Explainable(bert.module, bert.tokenizer, 10), "good " * 20_000)
    assert len(encoded.ids) == 10
    assert encoded.words == ("good",) * 8
    assert encoded.dropped == 20_000 - 8


def test_words_the_tokenizer_cannot_see_are_dropped(bert: Explainable) -> None:
    encoded = encode(bert, "good \u200b\u200b film")
    assert encoded.words == ("good", "film")
    assert encoded.dropped == 1


@pytest.mark.parametrize("text", ["", "  \n\t", "\u200b"])
def test_no_words_is_an_error(bert: Explainable, text: str) -> None:
    with pytest.raises(ValueError, match=r"no(thing| word) to explain"):
        encode(bert, text)


def test_frozen_gives_everything_back_even_after_an_error(bert: Explainable) -> None:
    module = bert.module
    module.train()
    module.bert.encoder.layer[0].eval()
    module.bert.embeddings.requires_grad_(False)
    before = [part.training for part in module.modules()], [w.requires_grad for w in module.parameters()]

    def fail() -> None:
        with frozen(module):
            assert not any(part.training for part in module.modules())
            assert not any(weight.requires_grad for weight in module.parameters())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert before == ([part.training for part in module.modules()], [w.requires_grad for w in module.parameters()])


def test_bad_arguments(bert: Explainable) -> None:
    with pytest.raises(ValueError, match="max_length is 2"):
        Explainable(bert.module, bert.tokenizer, 2)
    with pytest.raises(ValueError, match="fast tokenizer"):
        Explainable(bert.module, object(), 64)
