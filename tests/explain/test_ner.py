"""Entities of a tagger: known answers, sharing that changes nothing, faithfulness on the entity's margin."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from explain.engine import answer, explain
from explain.entities import Entity, Explained, explain_entities, first_pieces, question, tag_logits
from explain.faithfulness import faithfulness
from explain.inputs import Explainable, encode_words
from explain.methods import (
    attention_rollout,
    gradient_shap,
    input_x_gradient,
    integrated_gradients,
    kernel_shap,
    layer_conductance,
    lime,
    occlusion,
    random,
    saliency_l2,
    shapley_sampling,
    smooth_grad,
)
from explain.pool import Pool
from explain.questions import Question

METHODS = (
    attention_rollout, gradient_shap, input_x_gradient, integrated_gradients, kernel_shap, layer_conductance, lime,
    occlusion, random, saliency_l2, shapley_sampling, smooth_grad,
)  # fmt: skip


class Neighbours(torch.nn.Module):
    """Tag logits of a token: (0, own push + half the push of the token before it), so every answer is known."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, weights: dict[str, float]) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(len(tokenizer), 2)
        with torch.no_grad():
            self.table.weight.zero_()
            for word, weight in weights.items():
                self.table.weight[tokenizer.convert_tokens_to_ids(word), 1] = weight

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        before = torch.nn.functional.pad(inputs_embeds[:, :-1], (0, 0, 1, 0))
        return SimpleNamespace(logits=inputs_embeds + before / 2)


@pytest.fixture
def neighbours(wordpiece: PreTrainedTokenizerFast) -> Explainable:
    return Explainable(Neighbours(wordpiece, {"actor": 4.0, "the": 2.0, "plot": 1.0, "[MASK]": -0.5}), wordpiece, 64)


@pytest.fixture
def tagger(wordpiece: PreTrainedTokenizerFast) -> Explainable:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(wordpiece), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, num_labels=5, initializer_range=0.15, attn_implementation="eager",
    )  # fmt: skip
    return Explainable(BertForTokenClassification(config), wordpiece, 64)


def asked(model: Explainable, words: list[str], *spans: tuple[int, int]) -> list[tuple[Entity, Question]]:
    encoded = encode_words(model, words)
    logits = tag_logits(model, [encoded])[0]
    return [(one, question(encoded, logits, one)) for one in (Entity(*span, "X") for span in spans)]


@pytest.mark.parametrize("method", [integrated_gradients, occlusion, kernel_shap, shapley_sampling, input_x_gradient])
def test_a_linear_tagger_is_explained_exactly(neighbours: Explainable, method: ModuleType) -> None:
    # f = mean of the margins at "actor" (4 + 2/2) and "plot" (1 + 4/2); masks push by -0.5
    found = explain_entities(neighbours, asked(neighbours, ["film", "the", "actor", "plot"], (2, 3)), method)[0]
    assert found.attribution.margin == pytest.approx(4.0)
    the, actor, plot = (2 + 0.5) / 2 / 2, (4 + 0.5) * (1 + 0.5) / 2, (1 + 0.5) / 2
    np.testing.assert_allclose(found.attribution.scores, [0.0, the, actor, plot], atol=1e-5)
    assert found.self_share == pytest.approx((actor + plot) / (the + actor + plot), abs=1e-5)
    assert (found.attribution.target, found.attribution.other) == (1, 0)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__.rpartition(".")[2])
def test_entities_together_and_alone_are_the_same(tagger: Explainable, method: ModuleType) -> None:
    long = asked(tagger, ["the", "filming", "is", "truly", "good", "and", "dull"], (1, 1), (3, 5))
    short = asked(tagger, ["bad", "plot"], (0, 1))
    together = explain_entities(tagger, [*long, *short], method, batch_tokens=300)
    alone = [explain_entities(tagger, [one], method)[0] for one in [*long, *short]]
    for one, two in zip(together, alone, strict=True):
        size = np.abs(two.attribution.scores).max()
        assert size > 0
        np.testing.assert_allclose(one.attribution.scores, two.attribution.scores, atol=2e-5 * max(1.0, size))
        assert one.attribution.margin == pytest.approx(two.attribution.margin, abs=1e-5)
        assert 0 <= one.self_share <= 1


def test_several_entities_share_the_forward_passes(tagger: Explainable) -> None:
    rows: list[int] = []

    class Counting(Explainable):
        def logits(self, embeds: torch.Tensor, attention_mask: torch.Tensor, *places: torch.Tensor) -> torch.Tensor:
            rows.append(len(embeds))
            return super().logits(embeds, attention_mask, *places)

    model = Counting(tagger.module, tagger.tokenizer, 64)
    questions = asked(model, ["good", "bad", "film", "plot"], (0, 0), (1, 1), (2, 3))
    rows.clear()
    explain_entities(model, questions, integrated_gradients, config=integrated_gradients.Config(max_steps=4))
    assert sum(rows) == 2 * 3 + 17  # both margins of each, and the first points once for all
    rows.clear()
    explain_entities(model, questions, occlusion, pool=Pool(model))
    assert sum(rows) == 2 * 3 + 4


def test_faithfulness_is_asked_of_the_entitys_margin(neighbours: Explainable, tagger: Explainable) -> None:
    questions = asked(neighbours, ["film", "the", "actor", "plot", "is"], (2, 2))
    found = explain_entities(neighbours, questions, integrated_gradients)
    scored = faithfulness(neighbours, [found[0].attribution], questions=[questions[0][1]])[0]
    assert scored.dnaopc == pytest.approx(1.0, abs=1e-5)
    full, masked = (1 / (1 + np.exp(-x)) for x in (5.0, -0.75))
    assert not scored.masked_keeps_class
    assert 0 < scored.comprehensiveness < full - masked
    spans = [(0, 0), (2, 4), (5, 6)]
    questions = asked(tagger, ["the", "filming", "is", "truly", "good", "and", "dull"], *spans)
    made = explain_entities(tagger, questions, integrated_gradients)
    scores = faithfulness(tagger, [one.attribution for one in made], questions=[one for _, one in questions])
    assert np.mean([one.dnaopc for one in scores]) > 0.3


def test_self_share_by_hand_and_where_nothing_matters(neighbours: Explainable) -> None:
    made = explain_entities(neighbours, asked(neighbours, ["film", "film"], (0, 0)), occlusion)[0]
    assert made.attribution.words == ("film", "film")
    still = explain_entities(neighbours, asked(neighbours, ["film", "the"], (1, 1)), attention_free)[0]
    assert still.self_share is None
    assert Explained(Entity(0, 0, "X"), made.attribution).self_share == 1.0


attention_free = SimpleNamespace(
    HAS_COMPLETENESS=False, Config=lambda: None, attribute=lambda batch, _: torch.zeros(batch.word_of.shape)
)


def test_words_given_one_by_one_find_their_pieces(tagger: Explainable) -> None:
    encoded = encode_words(tagger, ["filming", "\u200b", "good-film", "bad"])
    assert encoded.words == ("filming", "good-film", "bad")
    assert encoded.kept == (0, 2, 3)
    assert encoded.dropped == 1
    assert tag_logits(tagger, [encoded])[0].shape == (3, 5)
    assert first_pieces(encoded)[0] == 1
    with pytest.raises(ValueError, match="no word"):
        encode_words(tagger, ["\u200b"])


def test_a_next_token_is_asked_the_same_way(tagger: Explainable) -> None:
    encoded = encode_words(tagger, ["good", "bad", "film"])
    last = Question(encoded, (3,), (1,), (len(encoded.ids) - 2,))
    found = answer(tagger, [last], integrated_gradients)[0]
    assert (found.target, found.other) == (3, 1)
    assert found.completeness_error < 1e-3


def test_bad_arguments(tagger: Explainable, bert: Explainable) -> None:
    encoded = encode_words(tagger, ["good", "bad"])
    for wrong in [{"targets": (1,), "others": (1,)}, {"targets": (1, 2), "others": (0,), "places": (1, 2)}]:
        with pytest.raises(ValueError, match="give"):
            Question(encoded, **wrong)
    with pytest.raises(ValueError, match="tokens 0 to"):
        Question(encoded, (1,), (0,), (9,))
    with pytest.raises(ValueError, match="the model sees words 0 to 1"):
        question(encoded, np.zeros((2, 5)), Entity(1, 2, "X"))
    with pytest.raises(ValueError, match="need a tagger"):
        tag_logits(bert, [encode_words(bert, ["good"])])
    with pytest.raises(ValueError, match="only classifiers"):
        explain(tagger, ["good film"], occlusion)
    with pytest.raises(ValueError, match="a class of the whole text"):
        answer(tagger, [Question(encoded, (1,), (0,))], occlusion)
