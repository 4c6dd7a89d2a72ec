"""Row lists in ascending order, faster than by sorting them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import cores, in_threads, njit


def ascending(parts: list[NDArray], total: int) -> NDArray:
    """Distinct rows below ``total``, found in ``parts`` (uint32), as one sorted int64 array.

    A few are sorted; many become bits of a map of all rows, which is then read in order.
    """
    found = sum(len(part) for part in parts)
    if found < 20_000:
        return np.sort(np.concatenate(parts)).astype(np.int64)
    words, edges, counts = _as_bits(parts, total)
    out = np.empty(found, np.int64)
    ends = np.cumsum(counts)
    in_threads(
        [
            partial(_read_bits, words, int(a), int(b), out[end - count : end])
            for (a, b), end, count in zip(pairwise(edges), ends, counts, strict=True)
        ]
    )
    return out


def as_mask(parts: list[NDArray], total: int) -> NDArray:
    """The rows found in ``parts`` (uint32) as (total,) bool."""
    words = _as_bits(parts, total)[0]
    return np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), count=total, bitorder="little").view(bool)


def _as_bits(parts: list[NDArray], total: int) -> tuple[NDArray, NDArray, list[int]]:
    """Words of one bit for each row, with the edges of a few stretches of them and the bits set in each."""
    groups = min(cores(), 4)
    maps = np.zeros((groups, total // 64 + 1), np.uint64)
    in_threads([partial(_set_bits, [part for part in parts[g::groups] if len(part)], maps[g]) for g in range(groups)])
    edges = np.linspace(0, maps.shape[1], groups + 1).astype(np.int64)
    counts = in_threads([partial(_merge_bits, maps, int(a), int(b)) for a, b in pairwise(edges)])
    return maps[0], edges, counts


def _set_bits(parts: list[NDArray], bits: NDArray) -> None:
    for part in parts:
        _set(part, bits)


@njit
def _set(rows, bits):
    for k in range(len(rows)):
        row = np.uint64(rows[k])
        bits[row >> np.uint64(6)] |= np.uint64(1) << (row & np.uint64(63))


@njit
def _ones(w):
    """Number of bits set (LLVM makes it one instruction)."""
    w = w - ((w >> np.uint64(1)) & np.uint64(0x5555555555555555))
    w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (w * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit
def _merge_bits(maps, begin, end):
    """Put the union of the maps into the first; returns how many bits it has."""
    count = np.int64(0)
    for i in range(begin, end):
        word = maps[0, i]
        for g in range(1, len(maps)):
            word |= maps[g, i]
        maps[0, i] = word
        count += np.int64(_ones(word))
    return count


@njit
def _read_bits(bits, begin, end, out):
    at = np.uint64(0)
    for i in range(begin, end):
        word = bits[i]
        while word != 0:
            lowest = word & (~word + np.uint64(1))
            out[at] = np.int64(64 * i) + np.int64(_ones(lowest - np.uint64(1)))
            at += np.uint64(1)
            word ^= lowest
