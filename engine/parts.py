"""The network's costly parts, as tensors in and tensors out: image encoder, mask decoder, memory.

`StockParts` runs the modules of `sam2` as they are, on any device; `engine.compiled` has another way to run
pico's on a CPU. Knows a network; knows no object and no prompt of a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

from engine.attention import attend, to_lanes
from engine.boxes import ends
from engine.dense import dense_boxes
from engine.features import Clicks
from engine.regressor import Found

Read = Sequence[tuple[int, Tensor]]  # ages in frames, and what was remembered then, of one lane
Masks = tuple[Tensor, Tensor, Tensor, Tensor]  # masks, their predicted IoU, their tokens, object score


class Parts(Protocol):
    """B lanes at once; where maps of frames are asked for, [1, ...] serves all lanes."""

    def levels(self, images: Tensor) -> list[Tensor]:
        """The feature maps of pictures [N, 3, S, S], from fine to coarse."""
        ...

    def look(self, halves: Tensor) -> Tensor:
        """What correlation filters see of pictures of half the size, [N, C, S/4, S/4]; `engine.look`."""
        ...

    def found(self, keys: Tensor, cover: Tensor, crops: Tensor, told: Tensor) -> Found:
        """Of B objects in their windows: `BoxRegressor.forward`."""
        ...

    def outlined(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """What is to change in B masks in boxes: `Redrawer.forward`."""
        ...

    def masks(
        self,
        source: Tensor,
        clicks: Clicks | None,
        prior: Tensor | None,
        high: list[Tensor] | None,
        several: bool,
    ) -> Masks:
        """`PromptEncoder.forward` and `MaskDecoder.forward`.

        Args:
            source: [B or 1, C, H, W], what each lane reads.
            clicks: of each lane.
            prior: [B, 1, S/4, S/4] logits given as a mask prompt.
            high: high-resolution maps [B or 1, ...] of the lanes' frames, from fine to coarse.
            several: all that the decoder offers for an ambiguous prompt.
        """
        ...

    def write(self, tops: Tensor, lanes: list[int], logits: Tensor, score: Tensor, prompted: bool) -> Tensor:
        """What to keep of lanes' frames (`SAM2Base._encode_new_memory`): [B, HW, n].

        Args:
            tops: [F, C, H, W] of the frames,
            lanes: and which of them each lane is on.
            logits: [B, 1, S/4, S/4].
            score: [B, 1].
            prompted: the mask counts as certain.
        """
        ...

    def read(self, tops: Tensor, lanes: list[int], slots: Sequence[Read], pointers: Sequence[Read]) -> Tensor:
        """Features conditioned on what each lane remembers (`_prepare_memory_conditioned_features`).

        All lanes must have equally many slots and pointers.

        Args:
            tops, lanes: as for `write`.
            slots: what was kept, [HW, n] each; age 0 is a prompted frame's.
            pointers: [C] each.

        Returns:
            [B, HW, C].
        """
        ...


class StockParts:
    """`Parts` of any network; memories are kept as they are."""

    def __init__(self, net: SAM2Base) -> None:
        self._net = net
        self._image_pe = net.sam_prompt_encoder.get_dense_pe()
        self._image_place, self._memory_place = places(net)
        self._age_place = age_places(net)
        nowhere = no_clicks(1, net.no_mem_embed.device)
        self._no_clicks = net.sam_prompt_encoder(
            points=(nowhere.coords, nowhere.labels), boxes=None, masks=None
        )

    def levels(self, images: Tensor) -> list[Tensor]:
        return levels_of(self._net, images)

    def look(self, halves: Tensor) -> Tensor:
        seen: Tensor = self._net.look(halves)
        return seen

    def found(self, keys: Tensor, cover: Tensor, crops: Tensor, told: Tensor) -> Found:
        return Found(*self._net.regressor(keys, cover, crops, told))

    def outlined(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        change, quality = self._net.outliner(windows)
        return change, quality

    def masks(
        self,
        source: Tensor,
        clicks: Clicks | None,
        prior: Tensor | None,
        high: list[Tensor] | None,
        several: bool,
    ) -> Masks:
        if clicks is None:
            sparse, dense = self._no_clicks
            sparse = sparse.expand(len(source), -1, -1)
        else:
            points = (clicks.coords, clicks.labels)
            sparse, dense = self._net.sam_prompt_encoder(points=points, boxes=None, masks=prior)
        out: Masks = self._net.sam_mask_decoder(
            image_embeddings=source,
            image_pe=self._image_pe,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            repeat_image=len(source) < len(sparse),
            high_res_features=high,
        )
        return out

    def write(self, tops: Tensor, lanes: list[int], logits: Tensor, score: Tensor, prompted: bool) -> Tensor:
        net, encoder = self._net, self._net.memory_encoder
        mask = F.interpolate(
            logits, size=(net.image_size, net.image_size), mode="bilinear", align_corners=False
        )
        hard = prompted and net.binarize_mask_from_pts_for_mem_enc
        mask = (mask > 0).float() if hard else torch.sigmoid(mask)
        mask = mask * net.sigmoid_scale_for_mem_enc + net.sigmoid_bias_for_mem_enc
        # To tokens and back, as upstream: the strides this leaves decide which convolution kernels run.
        tops = tops.flatten(2).permute(2, 0, 1).permute(1, 2, 0).view(tops.shape)
        x = to_lanes(encoder.pix_feat_proj(tops), lanes) + encoder.mask_downsampler(mask)
        memory: Tensor = encoder.out_proj(encoder.fuser(x))
        if net.no_obj_embed_spatial is not None:
            there = (score > 0).float()[..., None, None]
            memory = memory + (1 - there) * net.no_obj_embed_spatial[..., None, None]
        return tokens_of(memory)

    def read(self, tops: Tensor, lanes: list[int], slots: Sequence[Read], pointers: Sequence[Read]) -> Tensor:
        net, batch, width = self._net, len(lanes), self._net.mem_dim
        spatial = torch.stack([kept for lane in slots for _, kept in lane]).to(net.no_mem_embed.dtype)
        ages = torch.tensor([age for lane in slots for age, _ in lane], device=spatial.device)
        spatial_place = self._memory_place + self._age_place.index_select(0, ages)[:, None]
        points = torch.stack([pointer for lane in pointers for _, pointer in lane]).to(spatial.dtype)
        distances = torch.tensor([age for lane in pointers for age, _ in lane], device=spatial.device)
        point_place = pointer_places(net, distances).repeat_interleave(net.hidden_dim // width, dim=0)
        memory = torch.cat((spatial.view(batch, -1, width), points.view(batch, -1, width)), dim=1)
        place = torch.cat((spatial_place.view(batch, -1, width), point_place.view(batch, -1, width)), dim=1)
        unplaced = points.numel() // (batch * width)
        return attend(
            net.memory_attention, tokens_of(tops), lanes, self._image_place, memory, place, unplaced
        )


def levels_of(net: SAM2Base, images: Tensor) -> list[Tensor]:
    """`Parts.levels`, in the network's own modules."""
    levels: list[Tensor] = net.forward_image(images)["backbone_fpn"]
    return levels[-net.num_feature_levels :]


def box_prompts(net: SAM2Base, boxes: Tensor) -> tuple[Clicks, Tensor]:
    """Boxes [B, 4], centre and size in 0..1, one for each lane, as prompts: their corners, and drawn."""
    corners = torch.stack(ends(boxes), dim=1).clamp(0, 1)
    labels = torch.tensor([[2, 3]], dtype=torch.int32, device=boxes.device).expand(len(boxes), 2)
    drawn = dense_boxes(corners, net.sam_prompt_encoder.mask_input_size[0])
    return Clicks(corners * net.image_size, labels), drawn


def no_clicks(batch: int, device: torch.device) -> Clicks:
    """What `SAM2Base._forward_sam_heads` gives to the prompt encoder for lanes without a prompt."""
    nowhere = torch.zeros(batch, 1, 2, device=device)
    return Clicks(nowhere, -torch.ones(batch, 1, dtype=torch.int32, device=device))


def tokens_of(maps: Tensor) -> Tensor:
    """[B, C, H, W] to [B, H * W, C], row by row."""
    return maps.flatten(2).transpose(1, 2)


def places(net: SAM2Base) -> tuple[Tensor, Tensor]:
    """Where cells are, as tokens: those of images [1, HW, hidden_dim], of memories [1, HW, mem_dim]."""
    grid = net.image_size // net.backbone_stride
    probe = torch.zeros(1, 1, grid, grid, device=net.no_mem_embed.device)
    image = net.image_encoder.neck.position_encoding(probe)
    memory = net.memory_encoder.position_encoding(probe)
    return tokens_of(image).contiguous(), tokens_of(memory).contiguous()


def age_places(net: SAM2Base) -> Tensor:
    """[num_maskmem, mem_dim]: row `age` is of a tracked frame so old, row 0 of prompted ones."""
    ages = [net.num_maskmem - 1, *range(net.num_maskmem - 1)]
    codes: Tensor = net.maskmem_tpos_enc[ages].flatten(1)
    return codes


def pointer_places(net: SAM2Base, distances: Tensor) -> Tensor:
    """The temporal codes [n, mem_dim] of pointers of ages [n] in frames."""
    if not net.add_tpos_enc_to_obj_ptrs:
        return torch.zeros(distances.shape[0], net.mem_dim, device=distances.device)
    width = net.hidden_dim if net.proj_tpos_enc_in_obj_ptrs else net.mem_dim
    code = get_1d_sine_pe(distances / (net.max_obj_ptrs_in_encoder - 1), dim=width)
    place: Tensor = net.obj_ptr_tpos_proj(code)
    return place
