"""Layer conductance: equal to integrated gradients below the first layer, and to Captum's LayerConductance in all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import LayerConductance

from explain.engine import batch_of, explain, predicted
from explain.inputs import Explainable, encode, frozen
from explain.layers import conductance, layer_tables
from explain.methods import integrated_gradients, layer_conductance
from explain.pool import Pool
from tests.explain.conftest import sentences


@pytest.mark.parametrize("text", sentences(3, seed=21, low=3, high=8))
def test_equal_to_captums_layer_by_layer(bert: Explainable, text: str) -> None:
    with frozen(bert.module):
        batch = batch_of(bert, predicted(bert, [encode(bert, text)]), 0, 4096, Pool(bert))
        ours = conductance(batch, 0, 20, "captum")
        layers = [bert.module.bert.embeddings, *bert.module.bert.encoder.layer]
        for number, layer in enumerate(layers):
            flows = LayerConductance(batch.forward, layer).attribute(
                batch.inputs,
                batch.baselines,
                additional_forward_args=(batch.attention_mask, batch.targets, batch.others),
                n_steps=20,
            )
            flows = flows[0] if isinstance(flows, tuple) else flows
            expected = flows.detach().double().sum(-1)[0]
            # as sums of several hundred float32 products in another order
            np.testing.assert_allclose(ours[number], expected, atol=1e-6 * max(1.0, float(expected.abs().max())) * 5)


def test_the_embedding_layer_has_the_scores_of_integrated_gradients(bert: Explainable) -> None:
    texts = sentences(4, seed=22, low=2)
    exact = integrated_gradients.Config(tolerance=1e-6)
    lowest = layer_conductance.Config(layer=0, n_steps=400)
    for one, two in zip(
        explain(bert, texts, layer_conductance, config=lowest),
        explain(bert, texts, integrated_gradients, config=exact),
        strict=True,
    ):
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-3 * np.abs(two.scores).max())


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_every_layer_sums_to_the_margins_difference_and_the_last_holds_it_at_the_first_token(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    for table in layer_tables(model, sentences(3, seed=23, low=2, high=6), n_steps=200):
        assert table.layers == ("embeddings", "layer 1", "layer 2")
        assert np.shape(table.values) == (3, len(table.words))
        assert max(table.completeness_error) < 5e-3
        assert table.special[0] == 0.0  # equal in x and x', and nothing has mixed yet
        assert np.abs(table.values[2]).max() == 0.0
        assert table.special[2] == pytest.approx(table.margin - table.baseline_margin, rel=5e-3, abs=1e-4)


def test_the_method_is_a_row_of_the_table_and_the_default_is_the_middle(bert: Explainable) -> None:
    texts = sentences(3, seed=24, low=2)
    for found, table in zip(explain(bert, texts, layer_conductance), layer_tables(bert, texts), strict=True):
        np.testing.assert_allclose(found.scores, table.values[1], atol=1e-6)
        assert found.words == table.words
        assert found.completeness_error is None


def test_few_rows_at_a_time_change_nothing(bert: Explainable) -> None:
    text = ["good bad film plot"]
    one = layer_tables(bert, text, batch_tokens=4096)[0]
    two = layer_tables(bert, text, batch_tokens=20)[0]
    np.testing.assert_allclose(one.values, two.values, atol=1e-5)


def test_what_cannot_be_asked(bert: Explainable, bag: Callable[..., Explainable]) -> None:
    with pytest.raises(ValueError, match=r"layers 0 .* to 2"):
        explain(bert, ["good"], layer_conductance, config=layer_conductance.Config(layer=3))
    with pytest.raises(ValueError, match="give"):
        layer_conductance.Config(n_steps=0)

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = bag({"good": 1.0}).module

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.inner.table

        def forward(self, output_hidden_states: bool = False, **given: torch.Tensor) -> object:
            return self.inner(**given)

    with pytest.raises(ValueError, match="no hidden states"):
        layer_tables(Explainable(Plain(), bert.tokenizer, 64), ["good"])
