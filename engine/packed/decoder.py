"""The mask decoder without what is constant, doubled or only moved about.

Positions are projected once and added afterwards; what reads the same tokens is one product; enlarged maps
stay in the order that their products give (every pixel followed by the four it becomes) until the end, and
only the masks are put in rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn

from engine.packed.product import Product, product


class PackedDecoder(nn.Module):
    """`MaskDecoder` for inference; its projections of the fine levels are part of the image encoder.

    Args:
        dtype: that its larger products multiply in; all else is float32.
    """

    def __init__(self, decoder: MaskDecoder, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if not (decoder.use_high_res_features and decoder.pred_obj_scores):
            raise ValueError("expected a decoder with high-resolution features and object scores")
        self.conv_s0, self.conv_s1 = nn.Identity(), nn.Identity()  # `SAM2Base.forward_image` calls these
        self.mask_tokens = decoder.mask_tokens  # `SAM2Base` asks how many there are
        own = (decoder.obj_score_token, decoder.iou_token, decoder.mask_tokens)
        self.own = torch.cat([token.weight for token in own]).detach()
        transformer = decoder.transformer
        self.blocks = nn.ModuleList(_Block(block, dtype) for block in transformer.layers)
        self.last = _Read(transformer.final_attn_token_to_image, dtype)
        self.last_norm = transformer.norm_final_attn
        self.enlarge = _Enlarge(decoder.output_upscaling)
        self.hyper = _Heads(decoder.output_hypernetworks_mlps)
        self.quality, self.presence = decoder.iou_prediction_head, decoder.pred_obj_score_head
        self.steady = decoder._dynamic_multimask_via_stability
        self.falls_back = decoder.dynamic_multimask_via_stability
        self.pointers_of_all = decoder.use_multimask_token_for_obj_ptr

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `MaskDecoder.forward`: masks, their predicted IoU, their tokens, object score logits."""
        batch, (height, width) = sparse_prompt_embeddings.shape[0], image_embeddings.shape[-2:]
        tokens = torch.cat((self.own.expand(batch, -1, -1), sparse_prompt_embeddings), dim=1)
        source = image_embeddings.expand(batch, -1, -1, -1) if repeat_image else image_embeddings
        image = (source + dense_prompt_embeddings).flatten(2).transpose(1, 2)
        place = image_pe.flatten(2).transpose(1, 2)
        read, image = self._attend(tokens, image, place)
        enlarged = self.enlarge(image, high_res_features, height, width)
        kernels = self.hyper(read[:, 2:6])
        offered = kernels[:, 1:] if multimask_output else kernels
        masks = _in_rows(offered @ enlarged.transpose(1, 2), height, width)
        quality, presence = self.quality(read[:, 1]), self.presence(read[:, 0])
        chosen = read[:, 3:6] if multimask_output and self.pointers_of_all else read[:, 2:3]
        if multimask_output:
            return masks, quality[:, 1:], chosen, presence
        if self.falls_back:
            masks, quality = self.steady(masks, quality)
        return masks[:, :1], quality[:, :1], chosen, presence

    def _attend(self, tokens: Tensor, image: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """`TwoWayTransformer.forward`: what the tokens read, [B, T, C], and the image, [B, H * W, C]."""
        read = tokens
        for block in self.blocks:
            read, image = block(read, image, tokens, place)
        read = read + self.last(read + tokens, self.last.image(image, place))
        return self.last_norm(read), image


class _Place(nn.Module):
    """Several projections of the same tokens as one product, those of token + position among them.

    Args:
        projections: each with whether it sees the position.
        dtype: to multiply in.
    """

    def __init__(self, *projections: tuple[nn.Linear, bool], dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = torch.cat([linear.weight for linear, _ in projections]).detach()
        self.product = Product(self.weight, None, dtype)
        self.bias = torch.cat([linear.bias for linear, _ in projections]).detach()
        self.sees = torch.cat([torch.full_like(linear.bias, float(sees)) for linear, sees in projections])
        self.width = [linear.out_features for linear, _ in projections]
        self._known: tuple[Tensor, Tensor] | None = None

    def forward(self, image: Tensor, place: Tensor) -> tuple[Tensor, ...]:
        """Image [B, N, C] at `place` [1, N, C] to [B, N, D] for each projection."""
        out = self.product(image).add_(self._offset(place))
        parts: tuple[Tensor, ...] = torch.split(out, self.width, dim=-1)
        return parts

    def _offset(self, place: Tensor) -> Tensor:
        """What position and bias add; the position is the same one every time."""
        if self._known is None or self._known[0].data_ptr() != place.data_ptr():
            self._known = place, F.linear(place, self.weight) * self.sees + self.bias
        return self._known[1]


class _Read(nn.Module):
    """`Attention` of tokens to the image, whose keys and values are given."""

    def __init__(self, attention: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.q, self.out = attention.num_heads, attention.q_proj, attention.out_proj
        self.image = _Place((attention.k_proj, True), (attention.v_proj, False), dtype=dtype)

    def forward(self, queries: Tensor, image: tuple[Tensor, ...]) -> Tensor:
        keys, values = image
        return _attention(self.q(queries), keys, values, self.heads, self.out)


class _Block(nn.Module):
    """`TwoWayAttentionBlock`."""

    def __init__(self, block: TwoWayAttentionBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.alone, self.reads = block.self_attn, block.cross_attn_token_to_image
        self.writes, self.first = block.cross_attn_image_to_token, block.skip_first_layer_pe
        self.norms = nn.ModuleList((block.norm1, block.norm2, block.norm3, block.norm4))
        self.mlp = block.mlp
        self.mlp.layers = nn.ModuleList(product(linear, dtype) for linear in self.mlp.layers)
        seen = (self.reads.k_proj, True), (self.reads.v_proj, False), (self.writes.q_proj, True)
        self.image = _Place(*seen, dtype=dtype)

    def forward(self, read: Tensor, image: Tensor, tokens: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        keys, values, queries = self.image(image, place)
        norm1, norm2, norm3, norm4 = self.norms
        if self.first:
            read = norm1(self.alone(read, read, read))
        else:
            placed = read + tokens
            read = norm1(read + self.alone(placed, placed, read))
        reads, writes = self.reads, self.writes
        read = norm2(
            read + _attention(reads.q_proj(read + tokens), keys, values, reads.num_heads, reads.out_proj)
        )
        read = norm3(read + self.mlp(read))
        placed = read + tokens
        written = _attention(
            queries, writes.k_proj(placed), writes.v_proj(read), writes.num_heads, writes.out_proj
        )
        return read, norm4(image + written)


class _Enlarge(nn.Module):
    """`output_upscaling`: twice to double size, with the image's fine levels added."""

    def __init__(self, upscaling: nn.Sequential) -> None:
        super().__init__()
        first, norm, _, second, _ = upscaling
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(second, nn.ConvTranspose2d)
        assert isinstance(norm, LayerNorm2d)
        self.first, self.second = _doubling(first), _doubling(second)
        self.scale, self.shift, self.eps = norm.weight, norm.bias, float(norm.eps)

    def forward(self, image: Tensor, fine: list[Tensor], height: int, width: int) -> Tensor:
        """[B, H * W, C] to [B, 16 * H * W, C / 8], each pixel followed by the sixteen it becomes."""
        finest, finer = fine
        batch, pixels, _ = image.shape
        x = self.first(image).view(batch, 4 * pixels, -1).add_(_in_quads(finer, height, width))
        x = F.gelu(F.layer_norm(x, x.shape[-1:], self.scale, self.shift, self.eps))
        x = self.second(x).view(batch, 16 * pixels, -1).add_(_in_quads(finest, height, width))
        return F.gelu(x)


class _Heads(nn.Module):
    """MLPs of one shape, each with a token of its own, side by side: [B, M, C] to [B, M, D]."""

    def __init__(self, heads: nn.ModuleList) -> None:
        super().__init__()
        layers = list(zip(*(head.layers for head in heads), strict=True))
        self.weights = [torch.stack([linear.weight.t() for linear in each]).detach() for each in layers]
        self.biases = [torch.stack([linear.bias for linear in each])[:, None].detach() for each in layers]

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens.transpose(0, 1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x if index == 0 else x.relu_(), weight)
        return x.transpose(0, 1)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int, out: nn.Module) -> Tensor:
    """Attention of projected tokens, [B, N, D] each."""
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (queries, keys, values))
    mixed: Tensor = out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return mixed


def _doubling(conv: nn.ConvTranspose2d) -> nn.Linear:
    """A 2x2 transposed convolution of stride 2 as a product: [..., C] to the four pixels, [..., 4 * D]."""
    assert conv.kernel_size == conv.stride == (2, 2)
    assert conv.bias is not None
    linear = nn.Linear(conv.in_channels, 4 * conv.out_channels)
    linear.weight = nn.Parameter(conv.weight.permute(2, 3, 1, 0).flatten(0, 2), requires_grad=False)
    linear.bias = nn.Parameter(conv.bias.repeat(4), requires_grad=False)
    return linear


def _in_quads(level: Tensor, height: int, width: int) -> Tensor:
    """A map of 2 ** n times the size, [B, C, ...], in the order of `_Enlarge`: [B, pixels, C]."""
    rows = level.permute(0, 2, 3, 1)
    doublings = (level.shape[-2] // height).bit_length() - 1
    x = rows.reshape(len(level), height, *[2] * doublings, width, *[2] * doublings, -1)
    return x.permute(0, *_interleaved(doublings, 1), x.ndim - 1).flatten(1, -2)


def _in_rows(masks: Tensor, height: int, width: int) -> Tensor:
    """The inverse for [B, M, 16 * H * W]: [B, M, 4 * H, 4 * W]."""
    x = masks.view(*masks.shape[:2], height, width, 2, 2, 2, 2)
    return x.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(*masks.shape[:2], 4 * height, 4 * width)


def _interleaved(doublings: int, first: int) -> list[int]:
    """Dimensions (h, a, c, ..., w, b, d, ...) in the order h, w, a, b, c, d, ..."""
    return [first + half + k for k in range(doublings + 1) for half in (0, doublings + 1)]
