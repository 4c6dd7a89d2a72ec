"""The network of all-MiniLM-L6-v2: six layers of BERT and the mean over its words (keys as published).

Wang et al. 2020 (arXiv:2002.10957) for the distilled layers; Reimers & Gurevych 2019 (arXiv:1908.10084) for the mean
over words as the vector of a sentence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, INNER, LONGEST = 384, 12, 6, 1536, 512


class _Embeddings(nn.Module):
    def __init__(self, words: int):
        super().__init__()
        self.word_embeddings = nn.Embedding(words, WIDTH)
        self.position_embeddings = nn.Embedding(LONGEST, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, numbers: Tensor) -> Tensor:
        places = torch.arange(numbers.shape[1], device=numbers.device)
        told = self.word_embeddings(numbers) + self.token_type_embeddings.weight[0] + self.position_embeddings(places)
        return self.LayerNorm(told)


class _Out(nn.Module):
    """A linear map, what went in added, and a norm over both."""

    def __init__(self, width: int):
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(width, WIDTH), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + before)


class _Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shape = (*x.shape[:2], HEADS, WIDTH // HEADS)
        q, k, v = (part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        return seen.transpose(1, 2).reshape(x.shape)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self, self.output = _Heads(), _Out(WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.output(self.self(x, mask), x)


class _Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(WIDTH, INNER)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.dense(x))


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.intermediate, self.output = _Attention(), _Inner(), _Out(INNER)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class _Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer() for _ in range(LAYERS))


class MiniLM(nn.Module):
    """Numbers of words (b, t) and which of them count (b, t) bool, to unit vectors (b, 384)."""

    def __init__(self, words: int = 30522):
        super().__init__()
        self.embeddings, self.encoder = _Embeddings(words), _Layers()

    def forward(self, numbers: Tensor, mask: Tensor) -> Tensor:
        x = self.embeddings(numbers)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        share = mask.to(x.dtype)[:, :, None]
        mean = (x * share).sum(1) / share.sum(1).clamp(min=1e-9)
        return functional.normalize(mean, dim=1)
