"""The pool of masked inputs, and the last layer's short cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast, RobertaConfig
from transformers import RobertaForTokenClassification as RobertaTagger

from explain import last_layer
from explain.engine import explain
from explain.faithfulness import faithfulness
from explain.inputs import Explainable, encode, encode_words, frozen
from explain.methods import attention_rollout, input_x_gradient, kernel_shap, lime, occlusion
from explain.methods._paths import clenshaw_curtis
from explain.pool import Pool
from explain.questions import Question
from tests.explain.conftest import sentences


def test_equal_sets_are_run_once_whoever_asks(bert: Explainable) -> None:
    text = ["good bad film plot not"]
    pool = Pool(bert)
    alone = [explain(bert, text, method) for method in (occlusion, kernel_shap, lime)]
    shared = [explain(bert, text, method, pool=pool) for method in (occlusion, kernel_shap, lime)]
    for one, two in zip(alone, shared, strict=True):
        np.testing.assert_allclose(one[0].scores, two[0].scores, atol=1e-6)
    assert pool.rows == 2**5
    assert pool.asked > pool.rows
    scored = faithfulness(bert, shared[0], pool=pool)[0]
    assert scored.forwards == 0
    assert scored.dnaopc == pytest.approx(faithfulness(bert, alone[0])[0].dnaopc, abs=1e-5)


def test_answers_are_the_models_own(bert: Explainable) -> None:
    encoded = encode(bert, "good filming bad")
    keep = np.array([[True, False, True], [False, False, False], [True, False, True]])
    with frozen(bert.module):
        pool = Pool(bert, batch_tokens=7)
        found = pool.read(Question(encoded, (0,), (1,)), keep)[:, 0]
        ids = encoded.ids.clone()
        ids[encoded.word_of == 1] = bert.tokenizer.mask_token_id
        expected = bert.module(ids[None]).logits[0].detach()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])
    assert (pool.rows, pool.asked) == (2, 3)


def test_only_so_many_texts_are_kept(bert: Explainable) -> None:
    pool = Pool(bert, texts=2)
    everything = np.ones((1, 1), dtype=bool)
    with frozen(bert.module):
        for text in ("good", "bad", "good", "film", "good", "bad"):
            pool.read(Question(encode(bert, text), (0,), (1,)), everything)
    assert pool.rows == 4  # "bad" was let go when "film" came
    with pytest.raises(ValueError, match="give 1 or more"):
        Pool(bert, texts=0)


@pytest.mark.parametrize("name", ["bert", "roberta"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_short_last_layer_gives_the_models_logits_and_slopes(
    name: str, attention: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    config = type(model.module.config)(**{**model.module.config.to_dict(), "attn_implementation": attention})
    module = type(model.module)(config).eval()
    module.load_state_dict(model.module.state_dict())
    torch.manual_seed(3)
    embeds = torch.randn(3, 7, 32, requires_grad=True)
    for mask in (torch.ones(3, 7, dtype=torch.long), torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5])):
        assert last_layer.fits(module, embeds.detach(), mask)
        whole = module(inputs_embeds=embeds, attention_mask=mask).logits
        short = last_layer.logits(module, embeds, mask)
        torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-5)
        slopes = [torch.autograd.grad(logits[:, 0].sum(), embeds)[0] for logits in (whole, short)]
        torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_taggers_short_last_layer_gives_its_logits_and_slopes_where_they_are_read(kind: str, attention: str) -> None:
    torch.manual_seed(2)
    config, module = (BertConfig, BertForTokenClassification) if kind == "bert" else (RobertaConfig, RobertaTagger)
    tagger = module(
        config(
            vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            num_labels=5, initializer_range=0.2, attn_implementation=attention,
        )
    ).eval()  # fmt: skip
    embeds, places = torch.randn(2, 7, 32, requires_grad=True), torch.tensor([[1, 3, 1], [2, 0, 3]])
    for mask in (torch.ones(2, 7, dtype=torch.long), torch.tensor([[1] * 7, [1] * 4 + [0] * 3])):
        assert last_layer.fits(tagger, embeds.detach(), mask, places)
        assert not last_layer.fits(tagger, embeds.detach(), mask)  # every place is read: nothing to shorten
        whole = tagger(inputs_embeds=embeds, attention_mask=mask).logits
        whole = torch.stack([row[own] for row, own in zip(whole, places, strict=True)])
        short = last_layer.logits(tagger, embeds, mask, places)
        torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-5)
        slopes = [torch.autograd.grad(logits[..., 0].sum(), embeds)[0] for logits in (whole, short)]
        torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-4)


def test_questions_about_one_text_share_what_is_run_at_all_their_places(wordpiece: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(wordpiece), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=4, initializer_range=0.2,
    )  # fmt: skip
    model = Explainable(BertForTokenClassification(config).eval(), wordpiece, 32)
    encoded = encode_words(model, ["good", "bad", "film", "plot"])
    one, two = Question(encoded, (0,), (1,), (3,)), Question(encoded, (1, 2), (0, 1), (1, 3))
    keep = np.array([[True, False, True, True], [False] * 4])
    with frozen(model.module):
        pool = Pool(model)
        pool.expect([one, two])
        found = [pool.read(question, keep) for question in (one, two)]
        assert (pool.rows, pool.asked) == (2, 4)
        ids = torch.where(torch.tensor([[0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0]]) == 1, model.mask_id, encoded.ids)
        whole = model.module(ids).logits.detach().double().numpy()
        # a place nobody spoke of: the text is run again, and the answers stay
        late = pool.read(Question(encoded, (0,), (1,), (2,)), keep)
        again = pool.read(one, keep)
    np.testing.assert_allclose(found[0], whole[:, [3]], atol=1e-5)
    np.testing.assert_allclose(found[1], whole[:, [1, 3]], atol=1e-5)
    np.testing.assert_allclose(late, whole[:, [2]], atol=1e-5)
    np.testing.assert_allclose(again, found[0], atol=1e-6)
    assert pool.rows == 4
    assert model._decided == {"places": True}


def test_a_changed_layer_is_run_as_it_is(bert: Explainable) -> None:
    assert last_layer.known(bert.module)
    text = ["good bad film"]
    before = explain(bert, text, input_x_gradient, targets=[0])[0]
    last = bert.module.bert.encoder.layer[-1]
    handle = last.output.register_forward_hook(lambda *given: given[2] * 1.5)
    assert not last_layer.known(bert.module)
    hooked = explain(Explainable(bert.module, bert.tokenizer, 64), text, input_x_gradient, targets=[0])[0]
    assert hooked.margin != pytest.approx(before.margin, abs=1e-4)
    handle.remove()
    assert last_layer.known(bert.module)
    plain = last.forward
    last.forward = lambda *given, **named: plain(*given, **named)
    assert not last_layer.known(bert.module)


def test_asking_for_states_and_attention_changes_no_later_answer(bert: Explainable) -> None:
    text = ["good bad film"]
    before = explain(bert, text, input_x_gradient, targets=[0])[0]
    explain(bert, text, attention_rollout, targets=[0])
    bert.outputs(bert.embed(encode(bert, text[0]).ids[None]), torch.ones(1, 5), output_hidden_states=True)
    assert last_layer.known(bert.module)
    again = explain(Explainable(bert.module, bert.tokenizer, 64), text, input_x_gradient, targets=[0])[0]
    assert again.scores == before.scores


def test_clenshaw_curtis_is_exact_for_its_degree_and_nested() -> None:
    for intervals in (2, 4, 8, 16):
        points, weights = clenshaw_curtis(intervals)
        for power in range(intervals + 1):
            assert weights @ points**power == pytest.approx(1 / (power + 1), abs=1e-12)
        np.testing.assert_allclose(clenshaw_curtis(2 * intervals)[0][::2], points, atol=1e-15)


def test_texts_of_many_lengths_in_small_forwards_change_nothing(bert: Explainable) -> None:
    from explain.methods import integrated_gradients

    texts = sentences(8, seed=51, high=12)
    rows: list[tuple[int, int]] = []

    class Counting(Explainable):
        def logits(self, embeds: torch.Tensor, attention_mask: torch.Tensor, *places: torch.Tensor) -> torch.Tensor:
            rows.append((embeds.shape[0] * embeds.shape[1], int((attention_mask == 0).sum())))
            return super().logits(embeds, attention_mask, *places)

    counting = Counting(bert.module, bert.tokenizer, 64)
    small = explain(counting, texts, integrated_gradients, batch_tokens=200)
    assert max(size for size, _ in rows) <= 200
    large = explain(bert, texts, integrated_gradients, batch_tokens=20_000)
    for one, two in zip(small, large, strict=True):
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)
