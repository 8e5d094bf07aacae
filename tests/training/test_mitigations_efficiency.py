"""Known answers of the efficiency family: adapters, prefixes, prompts and two phases."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from tests.training.conftest import stack_of
from training.errors import UserError
from training.loop import Session, fine_tune
from training.mitigations import adapter, linear_probe_then_finetune, prefix, prompt_tuning
from training.model import open_classifier

SIZES = {"vocab_size": 100, "max_position_embeddings": 40}
BERT_LIKE = SIZES | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
KINDS = {
    "bert": (BertForSequenceClassification, BertConfig(**BERT_LIKE)),
    "bert tags": (BertForTokenClassification, BertConfig(**BERT_LIKE)),
    "roberta": (RobertaForSequenceClassification, RobertaConfig(**BERT_LIKE)),
    "distilbert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(**SIZES, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
    ),
    "gpt2": (GPT2ForSequenceClassification, GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=2)),
}


def encoder(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    made, config = KINDS[kind]
    return made(config).eval()


def texts() -> dict[str, torch.Tensor]:
    """Two texts of 7 and 4 pieces, padded."""
    ids = torch.tensor([[2, 11, 12, 13, 14, 15, 3], [2, 21, 22, 3, 1, 1, 1]])
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    return {"input_ids": ids, "attention_mask": mask}


# what learns


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # 2 layers x 2 adapters x (32 x 16 + 16, 16 x 32 + 32), 5 layer norms of 2 x 32, a head of 2 x 32 + 2
        ("adapter", 2 * 2 * (32 * 16 + 16 + 16 * 32 + 32) + 5 * 64 + 66),
        # 2 layers x keys and values x 20 of width 32
        ("prefix", 2 * 2 * 20 * 32 + 66),
        ("prompt_tuning", 20 * 32 + 66),
    ],
)
def test_what_learns_is_counted_by_hand_and_the_rest_does_not_move(name, count, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=1)
    before = {key: value.clone() for key, value in classifier.module.state_dict().items()}
    trained = fine_tune(classifier, stack_of(name), context)
    assert trained.summary["trainable_parameters"] == count
    after = trained.classifier.module.state_dict()
    shared = [key for key in before if key in after]
    moved = {key for key in shared if not torch.equal(before[key], after[key])}
    assert len(shared) == len(before)
    allowed = ("classifier", "LayerNorm") if name == "adapter" else ("classifier",)
    assert all(any(part in key.split(".") for part in allowed) for key in moved)
    assert any(key.startswith("classifier") for key in moved)


PAIRS = [
    ("lora", "adapter"),
    ("adapter", "lora"),
    ("bitfit", "prefix"),
    ("prefix", "bitfit"),
    ("prompt_tuning", "top_layers"),
    ("adapter", "prefix"),
    ("lora", "magnitude_pruning"),
    ("magnitude_pruning", "lora"),
    ("two_four_sparsity", "bitfit"),
    ("mixout", "movement_pruning"),
    ("magnitude_pruning", "movement_pruning"),
]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_pairs_that_choose_the_same_thing_are_refused(pair, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=16), epochs=1)
    with pytest.raises(UserError, match=r"Leave out one|name it first"):
        fine_tune(classifier, stack_of(*pair), context)


STACKS = [
    ("adapter", "fgm"),
    ("prefix", "fgm"),
    ("prompt_tuning", "freelb"),
    ("linear_probe_then_finetune", "lora"),
    ("linear_probe_then_finetune", "ema"),
    ("linear_probe_then_finetune", "magnitude_pruning"),
    ("movement_pruning", "mixout"),
]


@pytest.mark.parametrize("names", STACKS, ids="+".join)
def test_stacks_train_and_reopen(names, make_context, sentiment_task, tmp_path):
    task = sentiment_task(train=32)
    classifier, context = make_context(task, epochs=1)
    trained = fine_tune(classifier, stack_of(*names), context).classifier
    trained.save(tmp_path)
    some = [example.text for example in task.test]
    assert (open_classifier(tmp_path, task, 32, seed=5).logits(some) == trained.logits(some)).all()


@pytest.mark.parametrize("name", ["adapter", "prefix", "prompt_tuning"])
def test_parts_go_with_a_span_head(name, make_context, tagging_task, tmp_path):
    task = dataclasses.replace(tagging_task, train=tagging_task.train[:16])
    classifier, context = make_context(task, epochs=1, head="span")
    trained = fine_tune(classifier, stack_of(name), context).classifier
    trained.save(tmp_path)
    sentences = [example.words for example in task.test]
    assert open_classifier(tmp_path, task, 32, seed=5).tags(sentences) == trained.tags(sentences)


# adapters


def test_an_adapter_stands_before_the_skip_connection_and_the_layer_norm():
    module = encoder("bert")
    plain = copy.deepcopy(module)
    module = adapter.structure(module, adapter.Config(bottleneck=3))
    for made, untouched, width in [
        (module.bert.encoder.layer[0].attention.output, plain.bert.encoder.layer[0].attention.output, 32),
        (module.bert.encoder.layer[1].output, plain.bert.encoder.layer[1].output, 64),
    ]:
        placed = made.dropout.adapter
        for parameter in placed.parameters():
            torch.nn.init.normal_(parameter)
        states, skipped = torch.randn(2, 5, width), torch.randn(2, 5, 32)
        h = untouched.dense(states)
        bottleneck = torch.nn.functional.gelu(h @ placed.down.weight.T + placed.down.bias)
        h = h + bottleneck @ placed.up.weight.T + placed.up.bias
        assert torch.allclose(made(states, skipped), untouched.LayerNorm(h + skipped), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "bert tags", "roberta", "distilbert"])
def test_adapters_come_twice_a_block_nearly_unseen_at_first(kind):
    module = encoder(kind)
    plain = module(**texts()).logits
    module = adapter.prepare_model(adapter.structure(module, adapter.Config()), None, adapter.Config())
    placed = [part for part in module.modules() if isinstance(part, adapter.Adapter)]
    assert len(placed) == 4
    logits = module(**texts()).logits
    assert not torch.equal(logits, plain)
    assert torch.allclose(logits, plain, atol=1e-3)
    logits.square().sum().backward()
    assert all(part.up.weight.grad.abs().sum() > 0 for part in placed)
    learning = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert {name for name, _ in module.named_parameters() if "norm" in name.lower()} <= learning


def test_parts_refuse_encoders_they_do_not_know():
    for plugin, kind in [(adapter, "gpt2"), (prefix, "gpt2"), (prefix, "distilbert"), (prompt_tuning, "distilbert")]:
        with pytest.raises(UserError, match="Choose"):
            plugin.structure(encoder(kind), plugin.Config())


# prefixes


@pytest.mark.parametrize("boolean", [False, True])
def test_prefixed_attention_by_hand(boolean):
    inner = encoder("bert").bert.encoder.layer[0].attention.self
    made = prefix.PrefixedAttention(inner, length=3).eval()
    for parameter in (made.prefix_key, made.prefix_value):
        torch.nn.init.normal_(parameter)
    states = torch.randn(2, 4, 32)
    seen = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])[:, None, None].bool()
    mask = seen if boolean else torch.zeros(2, 1, 1, 4).masked_fill(~seen, torch.finfo(torch.float32).min)
    found, weights = made(states, mask)
    for row, head, place in itertools.product(range(2), range(2), range(4)):
        part = slice(16 * head, 16 * head + 16)
        count = 4 if row == 0 else 2
        keys = torch.cat([made.prefix_key, inner.key(states[row, :count])])[:, part]
        values = torch.cat([made.prefix_value, inner.value(states[row, :count])])[:, part]
        scores = keys @ inner.query(states[row, place])[part] / math.sqrt(16)
        attended = torch.softmax(scores, dim=0)
        assert torch.allclose(found[row, place, part], attended @ values, atol=1e-5)
        assert torch.allclose(weights[row, head, place, :count], attended[3:], atol=1e-6)
        assert not weights[row, head, place, count:].any()


@pytest.mark.parametrize("kind", ["bert", "bert tags", "roberta"])
@pytest.mark.parametrize("plugin", [prefix, prompt_tuning], ids=["prefix", "prompt_tuning"])
def test_parts_hold_in_a_whole_encoder(plugin, kind):
    module = encoder(kind)
    plain = module(**texts()).logits
    module = plugin.structure(module, plugin.Config(length=5))
    logits = module(**texts()).logits
    assert logits.shape == plain.shape
    assert (logits - plain).abs().max() > 1e-5
    # padding has no say, and embeddings do what identities do
    alone = module(input_ids=texts()["input_ids"][1:, :4], attention_mask=torch.ones(1, 4, dtype=torch.long)).logits
    assert torch.allclose(alone, logits[1:, :4] if logits.ndim == 3 else logits[1:], atol=1e-5)
    table = module.get_input_embeddings()
    given = {"inputs_embeds": table(texts()["input_ids"]), "attention_mask": texts()["attention_mask"]}
    rows = logits[:, :4] if logits.ndim == 3 else logits
    again = module(**given).logits
    assert torch.allclose(again[:, :4] if again.ndim == 3 else again, rows, atol=1e-5)
    # a text as long as the encoder has positions (RoBERTa's first two are not used)
    longest = torch.full((1, 38 if kind == "roberta" else 40), 9)
    assert torch.isfinite(module(input_ids=longest, attention_mask=torch.ones_like(longest)).logits).all()
    module.config._attn_implementation = "eager"  # fused attention has no weights to give
    seen = module(**texts(), output_hidden_states=True, output_attentions=True)
    assert all(layer.shape == (2, 7, 32) for layer in seen.hidden_states)
    assert len(seen.attentions) == 2
    assert all(layer.shape == (2, 2, 7, 7) for layer in seen.attentions)
    # a copy has vectors of its own
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if plugin._learns(name) and "classifier" not in name:
                parameter.add_(1.0)
    assert not torch.equal(twin(**texts()).logits, logits)
    assert torch.equal(module(**texts()).logits, logits)


# prompts


@pytest.mark.parametrize(("kind", "first"), [("bert", 0), ("bert tags", 0), ("roberta", 2)])
def test_a_prompt_stands_behind_the_first_piece_and_moves_no_position(kind, first):
    module = encoder(kind)
    plain = copy.deepcopy(module)
    module = prompt_tuning.structure(module, prompt_tuning.Config(length=3))
    prompt = module.base_model.prompt_embeddings
    table = module.get_input_embeddings()
    assert all(any(torch.equal(row, word) for word in table.weight) for row in prompt)
    words, mask = table(texts()["input_ids"]), texts()["attention_mask"]
    given = {
        "inputs_embeds": torch.stack([torch.cat([row[:1], prompt, row[1:]]) for row in words]),
        "attention_mask": torch.cat([torch.ones(2, 4, dtype=torch.long), mask[:, 1:]], dim=1),
        "position_ids": torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4, 5, 6]]) + first,
    }
    expected = plain(**given).logits
    if kind == "bert tags":
        expected = expected[:, [0, 4, 5, 6, 7, 8, 9]]
    assert torch.allclose(module(**texts()).logits, expected, atol=1e-6)


# linear probe, then fine-tuning


PROBES = [(8, 0.25, 2), (10, 0.5, 5), (2, 0.9, 1), (3, 0.01, 1), (1, 0.5, 0)]


@pytest.mark.parametrize(("total", "share", "steps"), PROBES)
def test_probe_steps(total, share, steps):
    assert linear_probe_then_finetune.probe_steps(total, share) == steps


@pytest.mark.parametrize("others", [(), ("fgm",)])
def test_the_encoder_and_its_moments_rest_in_the_first_phase(others, make_context, sentiment_task):
    classifier, context = make_context(sentiment_task(train=64), epochs=1, warmup=0.0, learning_rate=1e-3)
    session = Session(classifier, stack_of(*others, "linear_probe_then_finetune"), context)
    module, optimizer = session.state.module, session.state.optimizer
    start = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for step, batch in enumerate(itertools.islice(session.batches(), 8)):
        before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
        session.step(batch)
        probing = step < 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * (8 - step) / 8 * (10 if probing else 1))
        for name, parameter in module.named_parameters():
            head = name.startswith("classifier.")
            if head or not probing:
                assert not torch.equal(parameter, before[name]) or "position" in name
                assert optimizer.state[parameter]["step"] == (step + 1 if head else step - 1)
            else:
                assert torch.equal(parameter, start[name])
                assert not optimizer.state.get(parameter)
