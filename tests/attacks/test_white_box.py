"""The white box: the same answers as the plain path, gradients that are right, and a module left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from attacks.recipes import embedding_pgd
from attacks.victim import Victim
from attacks.white_box import WhiteBox, margin, required
from tests.attacks.conftest import count_words

TEXT = "the movie was really boring, and the acting awful!"


@pytest.fixture(scope="module")
def box(tiny_model: Path) -> WhiteBox:
    torch.manual_seed(1)
    module = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=3)
    torch.nn.init.normal_(module.classifier.weight)  # so that logits and gradients are no noise around zero
    return WhiteBox(module, AutoTokenizer.from_pretrained(tiny_model), 32)


def at(box: WhiteBox, text: str = TEXT) -> torch.Tensor:
    return box.embed(box.pieces(text).ids)[None]


@pytest.mark.parametrize("text", [TEXT, "film", "", "xyzzy 日本 film " * 20])
def test_the_embedding_path_equals_the_id_path(box: WhiteBox, text: str) -> None:
    coded = box.tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        expected = box.module.eval()(**coded).logits
    torch.testing.assert_close(box.logits(at(box, text)), expected)
    torch.testing.assert_close(box.gradient(at(box, text), 0).logits, expected)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_gradients_agree_with_finite_differences(box: WhiteBox, label: int) -> None:
    here = at(box)
    found = box.gradient(here, label)
    torch.testing.assert_close(found.loss, margin(box.logits(here), label))
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        way = torch.randn(here.shape, generator=generator)
        step = 1e-2 / way.norm()
        up, down = (margin(box.logits(here + sign * step * way), label) for sign in (1, -1))
        slope = float((up - down) / (2 * step))
        assert float((found.embeddings * way).sum()) == pytest.approx(slope, rel=0.02, abs=0.02)


def test_rows_of_a_batch_do_not_mix(box: WhiteBox) -> None:
    here = at(box)
    both = torch.cat([here, here + 0.1])
    found = box.gradient(both, 1)
    torch.testing.assert_close(found.embeddings[:1], box.gradient(here, 1).embeddings)
    torch.testing.assert_close(found.embeddings[1:], box.gradient(here + 0.1, 1).embeddings)


def test_the_margin_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert margin(logits, 0).tolist() == [-1.0, 5.0]
    assert margin(logits, 1).tolist() == [2.0, -1.0]
    assert margin(logits, 2).tolist() == [1.0, 1.0]


def test_saturated_logits_keep_their_slope(box: WhiteBox) -> None:
    """Where the softmax is 1 to the last bit, the cross-entropy has no gradient left; the margin's only scales."""
    here = at(box)
    plain = box.gradient(here, 0).embeddings
    weight, bias = box.module.classifier.weight, box.module.classifier.bias
    with torch.no_grad():
        weight *= 1000
        bias *= 1000
    try:
        torch.testing.assert_close(box.gradient(here, 0).embeddings / 1000, plain, rtol=1e-3, atol=1e-5)
    finally:
        with torch.no_grad():
            weight /= 1000
            bias /= 1000


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_module_is_left_as_it_was(box: WhiteBox, around) -> None:
    module = box.module
    module.train()
    module.bert.encoder.eval()
    frozen = next(module.parameters())
    frozen.requires_grad_(False)
    modes = [part.training for part in module.modules()]
    wanted = [weight.requires_grad for weight in module.parameters()]
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    with around():
        first, second = (box.gradient(at(box), 0).embeddings for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    with pytest.raises(RuntimeError):
        box.gradient(torch.zeros(1, 2, 7), 0)
    assert [part.training for part in module.modules()] == modes
    assert [weight.requires_grad for weight in module.parameters()] == wanted
    assert all(weight.grad is None for weight in module.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    frozen.requires_grad_(True)
    module.eval()


def test_pieces_know_their_characters_and_what_is_cut_off(box: WhiteBox) -> None:
    pieces = box.pieces("the xyz film")
    names = box.tokenizer.convert_ids_to_tokens(pieces.ids.tolist())
    assert names == ["[CLS]", "the", "x", "##y", "##z", "film", "[SEP]"]
    assert pieces.special.tolist() == [True, *[False] * 5, True]
    assert [pieces.at(place) for place in (0, 4, 5, 8)] == [1, 2, 3, 5]
    assert pieces.at(3) is None  # white space
    long = "film " * 40
    assert box.pieces(long).at(0) == 1
    assert box.pieces(long).at(len(long) - 2) is None
    assert len(box.pieces(long).ids) == 32


def test_only_known_words_are_one_piece(box: WhiteBox) -> None:
    assert box.one_piece("film") == box.tokenizer.get_vocab()["film"]
    assert box.one_piece("Film") == box.tokenizer.get_vocab()["film"]  # this tokenizer does not read case
    assert [box.one_piece(word) for word in ("films", "日", "the film", "")] == [None] * 4


def test_a_swap_is_valued_by_its_first_order_change(box: WhiteBox) -> None:
    text = "the film was xyz"
    swaps = [(4, "plot"), (13, "good"), (13, "xyzzy"), (4, "film")]
    values = box.swap_losses(text, swaps, 1)
    found, pieces = box.gradient(at(box, text), 1), box.pieces(text)
    table = box.module.get_input_embeddings().weight.detach()
    vocabulary, loss = box.tokenizer.get_vocab(), float(found.loss[0])
    for value, (piece, word) in zip(values[:2], [(2, "plot"), (4, "good")], strict=True):
        change = table[vocabulary[word]] - table[pieces.ids[piece]]
        assert value == pytest.approx(loss + float(change @ found.embeddings[0, piece]), abs=1e-5)
    assert values[2] is None
    assert values[3] == pytest.approx(loss)
    assert box.swap_losses(text, [(4, "xyzzy")], 1) == [None]


def test_a_victim_without_a_white_box_is_refused_with_words(box: WhiteBox) -> None:
    with pytest.raises(ValueError, match="'hotflip' needs the victim's gradients"):
        required(Victim(count_words), "hotflip")
    victim = Victim(count_words, white_box=box).with_temperature(3.0)
    assert required(victim, "hotflip") is box


def test_a_slow_tokenizer_is_refused(box: WhiteBox) -> None:
    with pytest.raises(ValueError, match="fast tokenizer"):
        WhiteBox(box.module, object(), 32)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_projection_and_steps_keep_to_the_ball(norm: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shift, slope = (torch.randn(6, 16, generator=generator) for _ in range(2))
    shift[0], slope[1] = 0.0, 0.0
    inside = embedding_pgd.project(shift, 0.5, norm)
    assert (inside.norm(dim=1) <= 0.5 + 1e-6).all()  # the corner of the cube lies on the sphere
    if norm == "linf":
        assert inside.abs().max() == pytest.approx(0.5 / 4)
    assert torch.equal(inside[0], torch.zeros(16))
    assert torch.allclose(embedding_pgd.project(inside * 0.3, 0.5, norm), inside * 0.3)
    moved = embedding_pgd.ascend(inside, slope, 0.25, norm) - inside
    np.testing.assert_allclose(moved.norm(dim=1), [0.25, 0.0, *[0.25] * 4], atol=1e-6)
    assert ((moved * slope).sum(dim=1) >= 0).all()
