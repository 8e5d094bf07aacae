from __future__ import annotations

import random

import numpy as np
import pytest

from attacks.batching import POSITIONS, blocks
from bench import sources
from training.model import open_classifier
from training.resources import Resources


@pytest.mark.parametrize(("device", "threads"), [("cpu", 1), ("cpu", 2), ("cuda", 1)])
def test_every_text_is_in_one_block_that_is_long_enough(device: str, threads: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 600, 500).tolist()
    made = blocks(lengths, device, threads, longest=600)
    assert sorted(i for block in made for i in block.rows) == list(range(500))
    for block in made:
        assert max(lengths[i] for i in block.rows) <= block.length <= 600
        assert len(block.filled) == block.size
        assert set(block.filled) == set(block.rows)


def test_the_shape_of_a_block_follows_from_its_own_texts() -> None:
    assert [(b.rows, b.length, b.size) for b in blocks([3, 9, 4], "cpu", 1)] == [([0, 2], 4, 2), ([1], 12, 1)]
    assert [(b.length, b.size) for b in blocks([3, 9, 4], "cpu", 2)] == [(8, 2), (16, 1)]
    assert [(b.length, b.size) for b in blocks([3, 9, 4], "cpu", 2, longest=10, rows=8)] == [(8, 8), (10, 8)]
    assert {(b.length, b.size) for b in blocks([5] * 3, "cuda", 1)} == {(32, 256)}
    assert {(b.length, b.size) for b in blocks([500] * 70, "cuda", 1, longest=512)} == {(512, 32)}


def test_blocks_are_bounded() -> None:
    for block in blocks([30] * 1000, "cpu", 1):
        assert block.size * block.length <= POSITIONS
    assert {block.size for block in blocks([5000] * 9, "cpu", 2, rows=8)} == {8}


@pytest.mark.parametrize("model", ["bert-tiny", "minilm-l6"])
def test_logits_have_the_same_bits_in_any_company(model: str, resources: Resources, sentiment_task) -> None:
    """The heart of it: alone, among others, in another order, whatever the lengths."""
    classifier = open_classifier(sources.open_model(model, resources)[1], sentiment_task(), 64, seed=0)
    generator = random.Random(0)
    words = "the film was a long dull story with one great scene and some fine music".split()  # noqa: SIM905
    texts = [" ".join(generator.choices(words, k=generator.randint(0, 60))) for _ in range(60)]
    whole = classifier.logits(texts)
    shuffled = generator.sample(range(60), 60)
    np.testing.assert_array_equal(classifier.logits([texts[i] for i in shuffled]), whole[shuffled])
    for size in (1, 2, 3, 7):
        parts = [classifier.logits(texts[start : start + size]) for start in range(0, 60, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
