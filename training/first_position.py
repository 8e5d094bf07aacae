"""A text classifier reads the first position of the last layer only, so the last layer need not finish the others.

In a BERT-like encoder what follows self-attention (its output projection and the feed-forward part) works on each
position alone. Inside `first_position_only` these run on the first position: the same logits for three quarters of the
last layer's matrix products less at every other position (BERT-tiny 29 %, MiniLM 14 % of a forward's time at 32 texts
of 28 pieces, one thread). What is left has one row a text, and is filled up to a number of rows at which a text's
logits do not depend on how many others there are (attacks/batching.py).

explain/first_token.py leaves out the last layer's queries, too, where gradients are wanted. It calls the parts of BERT
and RoBERTa itself; this hook suits any encoder whose parts have their names. The two differ in the last bits, so
neither can stand in for the other without changing what is stored.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import torch

from attacks.batching import grain

PART = ".attention.output"
_exact: weakref.WeakKeyDictionary[torch.nn.Module, bool] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def first_position_only(module: torch.nn.Module) -> Iterator[bool]:
    """Inside, forwards of `module` whose logits need only the first position do no more; other models run as ever.

    Yields whether it is of that kind, which is tried once, on made-up ids. The logits may have more rows than texts.
    Not for models whose hidden states are asked for.
    """
    part = _last_part(module)
    if part is None or not _works(module, part):
        yield False
        return
    handle = part.register_forward_pre_hook(_cut)
    try:
        yield True
    finally:
        handle.remove()


def _cut(_: torch.nn.Module, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(_first(state) for state in states)


def _first(state: torch.Tensor) -> torch.Tensor:
    """The first position of every text, (n, 1, hidden), and of the last text again up to a multiple of rows."""
    first = state[:, :1].contiguous()  # a strided one takes another way through the product
    missing = -len(first) % grain(first.device.type, torch.get_num_threads()) if first.device.type == "cpu" else 0
    return torch.cat([first, first[-1:].expand(missing, -1, -1)]) if missing else first


def _last_part(module: torch.nn.Module) -> torch.nn.Module | None:
    found = [part for name, part in module.named_modules() if name.endswith(PART) and ".layer." in name]
    return found[-1] if found else None


@torch.inference_mode()
def _works(module: torch.nn.Module, part: torch.nn.Module) -> bool:
    if module not in _exact:
        device = next(module.parameters()).device
        ids = torch.arange(32, device=device).reshape(4, 8) + 5
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        was_training = module.training
        module.eval()
        whole = module(**inputs).logits
        handle = part.register_forward_pre_hook(_cut)
        try:
            cut = module(**inputs).logits
            cut = cut[: len(whole)]
            _exact[module] = cut.shape == whole.shape and bool(torch.allclose(cut, whole, rtol=1e-5, atol=1e-6))
        except Exception:  # noqa: BLE001 (whatever an unknown architecture raises, it is not of that kind)
            _exact[module] = False
        finally:
            handle.remove()
            module.train(was_training)
    return _exact[module]
