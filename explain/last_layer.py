"""A model's logits with the last layer computed only at the tokens that are read.

BERT's and RoBERTa's classification heads look at the first token of the last layer, and a question about an entity at
the first pieces of its words. The last layer's queries, its attention output and its feed-forward of all other tokens
are computed for nothing: 10 of the 12 products of weights a token costs there. Keys and values are still those of
every token, so the logits are the same up to rounding.

It calls the module's own parts, and only where every container is exactly transformers' class, without hooks: an
adapter inside a linear layer is fine, a changed layer is not. `fits` compares both ways on real inputs before it is
relied on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_HOMES = ("transformers.models.bert.modeling_bert", "transformers.models.roberta.modeling_roberta")
_RECORDING = "transformers.utils.output_capturing"
_CLASSIFIERS = ("BertForSequenceClassification", "RobertaForSequenceClassification")
_TAGGERS = ("BertForTokenClassification", "RobertaForTokenClassification")
_CLOSE = 1e-4  # of the largest logit, for `fits`: far above rounding, far below another computation


def _exact(part: Any) -> bool:
    # in a model whose hidden states or attention were asked for once transformers 5 leaves hooks that only record, and
    # its first releases the class's own forward, set back on the part itself
    hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    plain = all(getattr(hook, "__module__", None) == _RECORDING for hook in hooks)
    own = vars(part).get("forward")
    plain &= own is None or getattr(own, "__func__", None) is type(part).forward
    return plain and type(part).__module__ in _HOMES


def known(module: Any) -> bool:
    """Whether the module is one whose last layer this file knows how to shorten."""
    base = getattr(module, "bert", None) or getattr(module, "roberta", None)
    if type(module).__name__ not in (*_CLASSIFIERS, *_TAGGERS):
        return False
    config = module.config
    if config.is_decoder or getattr(config, "position_embedding_type", "absolute") != "absolute" or base is None:
        return False
    last = base.encoder.layer[-1]
    attention = last.attention
    parts = [module, base, base.embeddings, base.encoder, last, attention, attention.self, attention.output]
    parts += [last.intermediate, last.output, *([base.pooler] if base.pooler is not None else [])]
    return all(_exact(part) for part in parts)


def logits(module: Any, embeds: Tensor, attention_mask: Tensor, places: Tensor | None = None) -> Tensor:
    """embeds (n, t, d) in the module's type, attention_mask (n, t) -> logits (n, classes); the module is `known`.

    places: (n, k) int64, token positions of each row, for a tagger: -> (n, k, classes).
    """
    base = getattr(module, "bert", None) or module.roberta
    hidden = base.embeddings(inputs_embeds=embeds)
    wide = None
    if not bool(attention_mask.all()):
        closed = torch.finfo(hidden.dtype).min
        wide = ((1 - attention_mask.to(hidden.dtype)) * closed)[:, None, None, :]
    *below, last = base.encoder.layer
    # the fused kernel takes a row of the mask per query, the plain one spreads it
    spread = None if wide is None else wide.expand(-1, 1, embeds.shape[1], -1)
    for layer in below:
        after = layer(hidden, attention_mask=spread)
        hidden = after if isinstance(after, Tensor) else after[0]  # transformers 4 puts the states in a tuple
    if places is not None:
        read = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
        return module.classifier(module.dropout(_last_layer(last, hidden, read, wide)))
    first = _last_layer(last, hidden, hidden[:, :1], wide)
    if base.pooler is None:
        return module.classifier(first)
    return module.classifier(module.dropout(base.pooler(first)))


def _last_layer(layer: Any, hidden: Tensor, read: Tensor, mask: Tensor | None) -> Tensor:
    """hidden (n, t, d) and those of its tokens that are read, (n, k, d) -> (n, k, d)."""
    part = layer.attention.self

    def heads(states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], part.num_attention_heads, part.attention_head_size).transpose(1, 2)

    query, key, value = heads(part.query(read)), heads(part.key(hidden)), heads(part.value(hidden))
    context = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    attended = layer.attention.output(context.transpose(1, 2).flatten(2), read)
    return layer.output(layer.intermediate(attended), attended)


def fits(module: Any, embeds: Tensor, attention_mask: Tensor, places: Tensor | None = None) -> bool:
    """Whether the short way gives the module's own logits on these inputs; the module is in eval mode.

    False for a tagger of which every place is read (`places` None): there is nothing to shorten.
    """
    if not known(module) or (places is None) != (type(module).__name__ in _CLASSIFIERS):
        return False
    with torch.no_grad():
        whole = module(inputs_embeds=embeds, attention_mask=attention_mask).logits.float()
        if places is not None:
            whole = whole.gather(1, places[..., None].expand(-1, -1, whole.shape[-1]))
        short = logits(module, embeds, attention_mask, places).float()
    near = _CLOSE if embeds.dtype == torch.float32 else 0.05
    return whole.shape == short.shape and bool((whole - short).abs().max() <= near * whole.abs().max().clamp(min=1e-3))
