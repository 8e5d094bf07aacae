"""Which texts share a forward pass, chosen so that a text's numbers never depend on its neighbours.

A matrix product picks its kernels by the shape of the whole batch, so the same text in two batches can differ in the
last bits, and one flipped bit can send a greedy search another way. Two rules make a row's numbers its own: its padded
length is a function of its own length, and every matrix product has a number of rows for which the kernels do the same
sums for each of them. So logits may be remembered by text, texts of many attacks may go through the model together, and
how many are in flight changes nothing. `tests/attacks/test_batching.py` compares bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

POSITIONS = 4096  # rows x length of one forward on a CPU
# With one to three rows MKL uses another kernel, and with a remainder its threads differ: seen with torch 2.13 for 1 to
# 64 texts of 2 to 128 pieces, BERT-tiny and MiniLM, one and two threads. Lengths are padded to a multiple of it, so the
# products over all positions have such a number of rows whatever the number of texts.
ROWS_PER_THREAD = 4
GPU_GRAIN, GPU_POSITIONS, GPU_ROWS = 32, 16_384, 256


@dataclass(frozen=True)
class Block:
    """The texts `rows` (indices), to be padded to `length` pieces, and to `size` rows by repeating one of them."""

    rows: list[int]
    length: int
    size: int

    @property
    def filled(self) -> list[int]:
        """`size` indices: every row of the block, the last one repeated."""
        return self.rows + self.rows[-1:] * (self.size - len(self.rows))


def grain(device: str, threads: int) -> int:
    """What the rows of a matrix product, and so the padded lengths, are a multiple of."""
    return ROWS_PER_THREAD * threads if device == "cpu" else GPU_GRAIN


def blocks(
    lengths: Sequence[int], device: str, threads: int, longest: int | None = None, *, rows: int = 1
) -> list[Block]:
    """Blocks that hold every text once, short ones first. `lengths` in pieces, each >= 1; `longest`: never pad further.

    `device` is torch's device type. On a CPU the size of a block is a multiple of `rows`: 1 where the model's products
    are over all positions, grain() where some are over the texts alone. Elsewhere its shape follows from its length.
    """
    step, cpu = grain(device, threads), device == "cpu"
    by_length: dict[int, list[int]] = {}
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        padded = -(-lengths[i] // step) * step
        by_length.setdefault(min(padded, longest) if longest else padded, []).append(i)
    found = []
    for length, members in by_length.items():
        multiple = rows if cpu else _power_of_two(GPU_POSITIONS // length)
        most = max(multiple, POSITIONS // length // multiple * multiple) if cpu else multiple
        for start in range(0, len(members), most):
            chosen = members[start : start + most]
            found.append(Block(chosen, length, -(-len(chosen) // multiple) * multiple))
    return found


def _power_of_two(most: int) -> int:
    return 1 << (max(1, min(GPU_ROWS, most)).bit_length() - 1)
