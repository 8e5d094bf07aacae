"""What recipes' authors use, in small: real files in the formats and places where the libraries keep them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attacks import originals

CLUSTERS = (
    ("movie", "film", "picture"),
    ("acting", "playing", "performance"),
    ("plot", "story", "tale"),
    ("boring", "tedious", "wearisome"),
    ("dull", "drab", "dreary"),
    ("awful", "dreadful", "horrid"),
    ("bad", "terrible", "poor"),
    ("good", "decent", "nice"),
    ("loved", "adored", "liked"),
    ("long", "lengthy", "extended"),
)


def write_counter_fitted(cache: Path) -> Path:
    """Thirty words in ten clusters: cosine 1 / (1 + 0.04) = 0.96 within a cluster, nearly 0 between them."""
    path = cache / originals.COUNTER_FITTED
    path.parent.mkdir(parents=True)
    size, lines = 3 * len(CLUSTERS), []
    for i, words in enumerate(CLUSTERS):
        for j, word in enumerate(words):
            row = np.zeros(size)
            row[i], row[len(CLUSTERS) + (2 * i + j) % (2 * len(CLUSTERS))] = 2.0, 0.4
            lines.append(f"{word} {' '.join(f'{value:.6f}' for value in row)}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def put_in_hub(cache: Path, name: str, files: Path) -> Path:
    """The folder `files` as a snapshot of the model `name` in a Hugging Face cache."""
    home = cache / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    return Path(shutil.copytree(files, home / "snapshots" / ("0" * 40)))


def write_stsb(folder: Path, tiny_model: Path, pooling: str = "mean_tokens") -> Path:
    """A random DistilBERT with the tokenizer of the tiny model, as sentence-transformers lays it out."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    kinds = ("cls_token", "mean_tokens", "max_tokens")
    said = {f"pooling_mode_{kind}": kind == pooling for kind in kinds}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **said}))
    return folder


def write_gpt2(folder: Path, words: Sequence[str]) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<|endoftext|>", "[UNK]", *dict.fromkeys(words)])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    mark = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=mark, eos_token=mark, unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocabulary), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


SENTENCES = [
    *(
        [("The", "DT"), (subject, "NN"), ("was", "VBD"), (kind, "JJ"), (".", ".")]
        for subject in ("movie", "film", "picture", "acting", "plot", "story", "performance", "playing", "tale")
        for words in CLUSTERS[3:8]
        for kind in words
    ),
    [("I", "PRP"), ("loved", "VBD"), ("it", "PRP")],
    [("He", "PRP"), ("loves", "VBZ"), ("a", "DT"), ("good", "JJ"), ("film", "NN")],
] * 3


def write_perceptron(root: Path) -> Path:
    """NLTK's tagger trained on SENTENCES, in the three JSON files that NLTK downloads."""
    import random

    from nltk.tag.perceptron import PerceptronTagger

    tagger, state = PerceptronTagger(load=False), random.getstate()
    random.seed(0)
    tagger.train(list(SENTENCES), nr_iter=3)
    random.setstate(state)
    folder = root / "taggers" / originals.PERCEPTRON
    folder.mkdir(parents=True)
    for part, held in zip(("weights", "tagdict", "classes"), tagger.encode_json_obj(), strict=True):
        (folder / f"{originals.PERCEPTRON}.{part}.json").write_text(json.dumps(held))
    return folder


def write_use(tf, folder: Path, *, reads: bool = False) -> Path:
    """A SavedModel that maps each text to (its number of bytes, 1); with `reads` it opens a file on the way."""

    class Encoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            length = tf.cast(tf.strings.length(texts), tf.float32)
            more = tf.strings.length(tf.io.read_file("/dev/null")) if reads else tf.constant(0)
            return tf.stack([length + tf.cast(more, tf.float32), tf.ones_like(length)], axis=1)

    tf.saved_model.save(Encoder(), str(folder))
    return folder


SYNSETS = {
    "noun": [["movie", "film", "picture", "moving_picture"], ["plot", "story"]],
    "verb": [["hate", "detest"]],
    "adj": [["awful", "dreadful", "terrible"], ["boring", "tedious"], ["bad", "terrible"], ["dull", "drab"]],
    "adv": [["badly", "poorly"]],
}


def write_wordnet(root: Path) -> Path:
    """SYNSETS in the files of WordNet 3.0, in which a synset is known by the place of its line in bytes."""
    folder = root / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    for name, synsets in SYNSETS.items():
        kind = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}[name]
        data, places = "  1 made for a test\n", dict[str, list[int]]()
        for words in synsets:
            for word in words:
                places.setdefault(word, []).append(len(data))
            listed = " ".join(f"{word} 0" for word in words)
            frames = " 00" if kind == "v" else ""
            data += f"{len(data):08d} 00 {kind} {len(words):02x} {listed} 000{frames} | a meaning  \n"
        index = "".join(
            f"{word} {kind} {len(found)} 0 {len(found)} 0 {' '.join(f'{place:08d}' for place in found)}  \n"
            for word, found in sorted(places.items())
        )
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text("  1 made for a test\n" + index)
        (folder / f"{name}.exc").write_text("")
    (folder / "lexnames").write_text("00\tadj.all\t3\n")
    (folder / "cntlist.rev").write_text("")
    (folder / "index.sense").write_text("")
    return folder
