from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from training.first_position import first_position_only


def bert(kind=BertForSequenceClassification) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return kind(BertConfig(vocab_size=200, **sizes)).eval()


def forward(module: torch.nn.Module) -> np.ndarray:
    ids = torch.arange(60).reshape(4, 15) + 5
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    with torch.inference_mode():
        return module(input_ids=ids, attention_mask=mask).logits.numpy()


def test_the_logits_are_the_same_and_the_last_layer_sees_one_position() -> None:
    module, seen = bert(), []
    whole = forward(module)
    parts = [module.bert.encoder.layer[i].intermediate for i in (0, 1)]
    hooks = [part.register_forward_pre_hook(lambda _, states: seen.append(states[0].shape[1])) for part in parts]
    with first_position_only(module):
        seen.clear()
        np.testing.assert_allclose(forward(module), whole, atol=1e-6)
        assert seen == [15, 1]
    seen.clear()
    np.testing.assert_array_equal(forward(module), whole)
    assert seen == [15, 15]
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize(
    "module", [bert(BertForTokenClassification), torch.nn.Linear(2, 2)], ids=["tags", "no encoder"]
)
def test_models_that_need_every_position_are_left_alone(module: torch.nn.Module) -> None:
    with first_position_only(module):
        assert not any(part._forward_pre_hooks for part in module.modules())


def test_a_pooled_mean_is_noticed() -> None:
    module = bert()
    module.bert.pooler = MeanPooler()
    whole = forward(module)
    with first_position_only(module):
        np.testing.assert_array_equal(forward(module), whole)


class MeanPooler(torch.nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states.mean(dim=1)
