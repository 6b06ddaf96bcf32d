"""Memory attention: a frame's features read what each lane remembers.

Upstream's arithmetic in its order, to the last bit, with fewer copies: keys are rotated where they lie,
and what no lane's memory has touched yet is computed once per frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor


def attend(
    attention: MemoryAttention,
    frames: Tensor,
    lanes: list[int],
    place: Tensor,
    memory: Tensor,
    memory_place: Tensor,
    pointers: int,
) -> Tensor:
    """`MemoryAttention.forward` for lanes of few frames; the first self-attention sees no memory yet.

    Args:
        frames: [F, N, C] features.
        lanes: which of the frames each lane is on.
        place: [1, N, C] positions of the features.
        memory, memory_place: [B, M, D].
        pointers: tokens at the memory's end that have no place in the picture.

    Returns:
        [B, N, C].
    """
    x = frames + 0.1 * place if attention.pos_enc_at_input else frames
    for index, layer in enumerate(attention.layers):
        x = _itself(layer, x, place)
        if index == 0:
            x = to_lanes(x, lanes)
        x = _memory(layer, x, place, memory, memory_place, pointers)
        x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
    out: Tensor = attention.norm(x)
    return out


def to_lanes(batch: Tensor, lanes: list[int]) -> Tensor:
    """One entry of `batch` for each lane, without a copy where one serves all."""
    if batch.shape[0] == 1:
        return batch.expand(len(lanes), *batch.shape[1:])
    return batch[lanes]


def _itself(layer: MemoryAttentionLayer, x: Tensor, place: Tensor) -> Tensor:
    """`MemoryAttentionLayer._forward_sa`."""
    normed = layer.norm1(x)
    placed = normed + place if layer.pos_enc_at_attn else normed
    return x + _attention(layer.self_attn, placed, placed, normed)


def _memory(
    layer: MemoryAttentionLayer, x: Tensor, place: Tensor, memory: Tensor, memory_place: Tensor, pointers: int
) -> Tensor:
    """`MemoryAttentionLayer._forward_ca`."""
    normed = layer.norm2(x)
    queries = normed + place if layer.pos_enc_at_cross_attn_queries else normed
    keys = memory + memory_place if layer.pos_enc_at_cross_attn_keys else memory
    return x + _attention(layer.cross_attn_image, queries, keys, memory, pointers)


def _attention(attention: RoPEAttention, q: Tensor, k: Tensor, v: Tensor, unplaced: int = 0) -> Tensor:
    """`RoPEAttention.forward`; the last `unplaced` keys are not rotated."""
    heads, cells = attention.num_heads, q.shape[1]
    q, k, v = attention.q_proj(q), attention.k_proj(k), attention.v_proj(v)
    turns = turns_of(attention, cells, q.device)
    q, k = _rotated(q, turns, heads, cells), _rotated(k, turns, heads, k.shape[1] - unplaced)
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
    out: Tensor = attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return out


def _rotated(x: Tensor, turns: Tensor, heads: int, count: int) -> Tensor:
    """The first `count` of projected tokens [B, M, D] turned by `turns` [N, D / heads / 2], over and over.

    In place where it is float32 already.
    """
    exact = x.float()
    pairs = torch.view_as_complex(exact.view(*x.shape[:2], heads, -1, 2))
    placed = pairs[:, :count]
    placed.view(len(x), -1, len(turns), *placed.shape[2:]).mul_(turns[:, None])
    return exact.type_as(x)


def turns_of(attention: RoPEAttention, cells: int, device: torch.device) -> Tensor:
    """Rotations of a square grid of `cells` tokens, complex [cells, D / heads / 2]."""
    if attention.freqs_cis.shape[0] != cells:
        side = round(cells**0.5)
        attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
    attention.freqs_cis = attention.freqs_cis.to(device)
    turns: Tensor = attention.freqs_cis
    return turns
