"""Pico's parts as modules of tensors alone, in the modules of `sam2` that they are made of, to be traced."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine.compiled.rotary import Rotary, halves_apart
from engine.enlarged import weights
from engine.parts import age_places, levels_of, places, tokens_of


class Encoder(nn.Module):
    """Pictures [N, 3, S, S] to feature maps, from fine to coarse."""

    def __init__(self, net: SAM2Base) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(levels_of(self.net, images))


class Decoder(nn.Module):
    """`MaskDecoder.predict_masks` of mask prompts: all masks, their predicted IoU, tokens, object score."""

    def __init__(self, net: SAM2Base) -> None:
        super().__init__()
        self.decoder, self.prompts = net.sam_mask_decoder, net.sam_prompt_encoder
        self.no_mask = net.sam_prompt_encoder.no_mask_embed.weight[..., None, None]
        self.place: Tensor = net.sam_prompt_encoder.get_dense_pe()

    def forward(
        self, source: Tensor, sparse: Tensor, prior: Tensor, given: Tensor, fine: Tensor, finer: Tensor
    ) -> tuple[Tensor, ...]:
        """For sources [B, C, H, W]; `prior` [B, 1, S/4, S/4] is the mask prompt where `given` [1] is 1."""
        dense = given * self.prompts.mask_downscaling(prior) + (1 - given) * self.no_mask
        masks: tuple[Tensor, ...] = self.decoder.predict_masks(
            source, self.place, sparse, dense, repeat_image=False, high_res_features=[fine, finer]
        )
        return masks


class Writer(nn.Module):
    """`SAM2Base._encode_new_memory`, and of that what will be read: keys at their places, and values.

    A memory is read on each of the frames after it, and its projections are the same each time. Only its age
    changes, whose place in a key stays a summand when the key is turned (`Reader` adds it).
    """

    def __init__(self, net: SAM2Base) -> None:
        super().__init__()
        (layer,) = net.memory_attention.layers
        self.encoder, cross = net.memory_encoder, layer.cross_attn_image
        # Bilinear enlarging as a product: OpenVINO's interpolation took as long as all else.
        self.enlarge = weights(4 * net.sam_image_embedding_size, net.image_size, torch.device("cpu"))
        self.scale, self.bias = net.sigmoid_scale_for_mem_enc, net.sigmoid_bias_for_mem_enc
        self.nothing = net.no_obj_embed_spatial[..., None, None]
        self.place = places(net)[1]
        self.keys, self.values = halves_apart(cross.k_proj), cross.v_proj
        self.turn = Rotary(cross, self.place.shape[1])

    def forward(self, tops: Tensor, logits: Tensor, score: Tensor, hard: Tensor) -> Tensor:
        """Kept [B, HW, 2 * width] of tops [B or 1, C, H, W]; masks count as certain where `hard` [1] is 1."""
        mask = self.enlarge @ logits @ self.enlarge.T
        mask = hard * (mask > 0).float() + (1 - hard) * torch.sigmoid(mask)
        mask = mask * self.scale + self.bias
        x = self.encoder.pix_feat_proj(tops) + self.encoder.mask_downsampler(mask)
        memory = self.encoder.out_proj(self.encoder.fuser(x))
        absent = 1 - (score > 0).float()[..., None, None]
        tokens = tokens_of(memory + absent * self.nothing)
        return torch.cat((self.turn(self.keys(tokens + self.place)), self.values(tokens)), dim=2)


class Reader(nn.Module):
    """Memory attention (`MemoryAttention.forward`) over what `Writer` keeps.

    Knows one layer of one head, with pico's positions.

    Raises:
        ValueError: the network has another memory attention.
    """

    def __init__(self, net: SAM2Base) -> None:
        super().__init__()
        if not readable(net):
            raise ValueError("expected a memory attention of one layer and one head with pico's positions")
        (layer,) = net.memory_attention.layers
        itself, cross = layer.self_attn, layer.cross_attn_image
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3
        self.norm = net.memory_attention.norm
        self.wide, self.narrow = layer.linear1, layer.linear2
        image = places(net)[0]
        self.place = 0.1 * image  # `MemoryAttention.forward`
        cells, self.width, self.channels = image.shape[1], cross.internal_dim, net.mem_dim
        self.turn, self.turn_itself = Rotary(cross, cells), Rotary(itself, cells)
        self.own = nn.ModuleList((halves_apart(itself.q_proj), halves_apart(itself.k_proj), itself.v_proj))
        self.own_out, self.out = itself.out_proj, cross.out_proj
        self.query, self.keys, self.values = (
            halves_apart(cross.q_proj),
            halves_apart(cross.k_proj),
            cross.v_proj,
        )
        self.aged = self.turn(
            F.linear(age_places(net), self.keys.weight)[:, None]
        )  # [num_maskmem, HW, width]

    def forward(
        self, tops: Tensor, kept: Tensor, ages: Tensor, pointers: Tensor, codes: Tensor, ignored: Tensor
    ) -> Tensor:
        """Features [B, HW, C].

        Args:
            tops: [B or 1, C, H, W].
            kept: bfloat16 [B, n, HW, 2 * width] of `Writer`,
            ages: and how old each is, int64 [B, n].
            pointers: [B, P, C], and
            codes: [B, P, mem_dim], `engine.parts.pointer_places` of their ages.
            ignored: bfloat16 [1, 1, HW, K], minus infinity for those of all keys that are none, else 0. The
                same for each cell, but OpenVINO's attention in bfloat16 goes wrong on what it has to repeat.
        """
        x = tokens_of(tops) + self.place
        query, key, value = (projection(self.norm1(x)) for projection in self.own)
        x = x + self.own_out(_attention(self.turn_itself(query), self.turn_itself(key), value))
        queries = self.turn(self.query(self.norm2(x))).expand(kept.shape[0], -1, -1)
        keys, values = kept.float().chunk(2, dim=3)
        keys = (keys + self.aged[ages]).flatten(1, 2)
        several = pointers.shape[2] // self.channels
        points = pointers.reshape(kept.shape[0], -1, self.channels)
        point_keys = self.keys(points + codes.repeat_interleave(several, dim=1))
        keys = torch.cat((keys, point_keys), dim=1)
        values = torch.cat((values.flatten(1, 2), self.values(points)), dim=1)
        x = x + self.out(_attention(queries, keys, values, ignored.float()))
        out: Tensor = self.norm(x + self.narrow(F.relu(self.wide(self.norm3(x)))))
        return out


def readable(net: SAM2Base) -> bool:
    """Whether `Reader` knows its memory attention."""
    attention = net.memory_attention
    (layer, *more) = attention.layers
    placed = attention.pos_enc_at_input and layer.pos_enc_at_cross_attn_keys
    misplaced = layer.pos_enc_at_attn or layer.pos_enc_at_cross_attn_queries
    one = layer.self_attn.num_heads == layer.cross_attn_image.num_heads == 1
    return not more and placed and not misplaced and one and layer.activation_str == "relu"


def _attention(queries: Tensor, keys: Tensor, values: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Of one head, [B, N, D]."""
    mixed = F.scaled_dot_product_attention(
        queries[:, None], keys[:, None], values[:, None], attn_mask=ignored
    )
    return mixed[:, 0]
