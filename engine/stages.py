"""The verbs of a step on batches of objects: encode, recall, decode, adopt, remember.

The only file that calls into the SAM 2 network. Knows tensors and what an object remembers; knows no stream,
no prompt of a person and no id. A lane is one object on one frame; all lanes of a call run as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

from engine.holes import fill_holes
from engine.memory import Memory

if TYPE_CHECKING:
    from engine.models import Model

MEMORY_DTYPE = torch.bfloat16  # how upstream stores spatial memories, whatever it computes in


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The image features of one frame, shared by all its objects.

    Attributes:
        top: [1, hidden_dim, S/16, S/16].
        high: the decoder's high-resolution maps, [1, hidden_dim / 8, S/4, S/4] and
            [1, hidden_dim / 4, S/8, S/8]; empty for networks without.
    """

    top: Tensor
    high: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What the decoder says of B lanes.

    Attributes:
        logits: float32 [B, 1, S/4, S/4], as decoded.
        filled: the same with small holes filled: what is shown, and what prompted frames remember.
        pointer: [B, hidden_dim].
        score: [B, 1] object score logit; the object is there when it is > 0.
    """

    logits: Tensor
    filled: Tensor
    pointer: Tensor
    score: Tensor

    def lane(self, index: int) -> Decoded:
        part = slice(index, index + 1)
        return Decoded(self.logits[part], self.filled[part], self.pointer[part], self.score[part])

    @staticmethod
    def batch(lanes: Sequence[Decoded]) -> Decoded:
        """The inverse of `lane`."""
        if len(lanes) == 1:
            return lanes[0]
        parts = ((d.logits, d.filled, d.pointer, d.score) for d in lanes)
        return Decoded(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """Points in the network's pixels: coords float32 [1, P, 2], labels int32 [1, P] (SAM's labels)."""

    coords: Tensor
    labels: Tensor


class Stages:
    """The network of a model, verb by verb. Stateless between calls but for constant tables."""

    def __init__(self, model: Model) -> None:
        self._net = net = model.net
        self._fill_area = model.preset.fill_hole_area
        self.grid = model.image_size // net.backbone_stride
        probe = torch.zeros(1, 1, self.grid, self.grid, device=model.device)
        image_pos = net.image_encoder.neck.position_encoding(probe)
        memory_pos = net.memory_encoder.position_encoding(probe)
        self._image_pos = image_pos.flatten(2).permute(2, 0, 1)  # [HW, 1, hidden_dim]
        self._memory_pos = memory_pos.flatten(2).transpose(1, 2)  # [1, HW, mem_dim]
        # Row `age` is the temporal code of a tracked frame that old; row 0 that of conditioning frames.
        ages = [net.num_maskmem - 1, *range(net.num_maskmem - 1)]
        self._age_pos = net.maskmem_tpos_enc[ages].flatten(1)  # [num_maskmem, mem_dim]

    def encode(self, images: Tensor) -> list[Features]:
        """Images [N, 3, S, S] to the features of each frame (`SAM2Base.forward_image`)."""
        net = self._net
        levels = net.forward_image(images)["backbone_fpn"][-net.num_feature_levels :]
        return [
            Features(levels[-1][n : n + 1], tuple(level[n : n + 1] for level in levels[:-1]))
            for n in range(images.shape[0])
        ]

    def unremembered(self, features: Features) -> Tensor:
        """[1, C, H, W] for an object that is seen for the first time: no memory to read."""
        out: Tensor = features.top + self._net.no_mem_embed.view(1, -1, 1, 1)
        return out

    def recall(
        self, features: Sequence[Features], memories: Sequence[Memory], frames: Sequence[int]
    ) -> Tensor:
        """Condition each lane's features on its memory (`_prepare_memory_conditioned_features`).

        All lanes must hold equally many spatial memories and pointers.

        Returns:
            [B, C, H, W].
        """
        net, batch = self._net, len(memories)
        slots = [memory.slots(frame) for memory, frame in zip(memories, frames, strict=True)]
        reads = [memory.reads(frame) for memory, frame in zip(memories, frames, strict=True)]
        spatial = torch.stack([f for lane in slots for _, f in lane]).to(net.no_mem_embed.dtype)
        ages = torch.tensor([age for lane in slots for age, _ in lane], device=spatial.device)
        spatial_pos = self._memory_pos + self._age_pos.index_select(0, ages)[:, None]
        pointers = torch.stack([p for lane in reads for _, p in lane]).to(spatial.dtype)
        distances = torch.tensor([age for lane in reads for age, _ in lane], device=spatial.device)
        width = net.mem_dim
        pointer_pos = self._pointer_pos(distances).repeat_interleave(net.hidden_dim // width, dim=0)
        pointer_tokens = pointers.reshape(batch, -1, width)
        memory = torch.cat((spatial.reshape(batch, -1, width), pointer_tokens), dim=1)
        memory_pos = torch.cat(
            (spatial_pos.reshape(batch, -1, width), pointer_pos.reshape(batch, -1, width)), 1
        )
        attended = net.memory_attention(
            curr=_joined([f.top for f in features]).flatten(2).permute(2, 0, 1),
            curr_pos=self._image_pos.expand(-1, batch, -1),
            memory=memory.transpose(0, 1),
            memory_pos=memory_pos.transpose(0, 1),
            num_obj_ptr_tokens=pointer_tokens.shape[1],
        )
        out: Tensor = attended.permute(1, 2, 0).view(batch, -1, self.grid, self.grid)
        return out

    def _pointer_pos(self, distances: Tensor) -> Tensor:
        """[n] ages in frames to [n, mem_dim]."""
        net = self._net
        if not net.add_tpos_enc_to_obj_ptrs:
            return torch.zeros(distances.shape[0], net.mem_dim, device=distances.device)
        width = net.hidden_dim if net.proj_tpos_enc_in_obj_ptrs else net.mem_dim
        code = get_1d_sine_pe(distances / (net.max_obj_ptrs_in_encoder - 1), dim=width)
        pos: Tensor = net.obj_ptr_tpos_proj(code)
        return pos

    def decode(
        self,
        conditioned: Tensor,
        features: Sequence[Features],
        clicks: Clicks | None = None,
        prior: Tensor | None = None,
        first: bool = False,
    ) -> Decoded:
        """Masks of B lanes (`SAM2Base._forward_sam_heads`).

        Args:
            conditioned: [B, C, H, W] of `recall` or `unremembered`.
            clicks: of a prompted lane (B is 1).
            prior: [B, 1, S/4, S/4] logits given as a mask prompt.
            first: the lane has no memory yet.
        """
        net = self._net
        points = None if clicks is None else {"point_coords": clicks.coords, "point_labels": clicks.labels}
        _, _, _, logits, _, pointer, score = net._forward_sam_heads(
            backbone_features=conditioned,
            point_inputs=points,
            mask_inputs=prior,
            high_res_features=_high(features),
            multimask_output=net._use_multimask(first, points),
        )
        return Decoded(logits, self._filled(logits), pointer, score)

    def adopt(self, features: Features, mask: Tensor) -> Decoded:
        """Take a mask as it is, bypassing the decoder (`SAM2Base._use_mask_as_output`).

        Args:
            mask: float32 [1, 1, S, S], 0 or 1.
        """
        _, _, _, logits, _, pointer, score = self._net._use_mask_as_output(
            features.top, _high([features]), mask
        )
        return Decoded(logits, self._filled(logits), pointer, score)

    def _filled(self, logits: Tensor) -> Tensor:
        return fill_holes(logits, self._fill_area) if self._fill_area else logits

    def remember(self, features: Sequence[Features], decoded: Decoded, prompted: bool) -> list[Tensor]:
        """Spatial memories of B lanes (`SAM2Base._encode_new_memory`).

        Tracked lanes remember the mask softly and as decoded; prompted ones what was shown, binarised.

        Returns:
            per lane [H * W, mem_dim] in `MEMORY_DTYPE`, each with storage of its own.
        """
        net = self._net
        mask = F.interpolate(
            decoded.filled if prompted else decoded.logits,
            size=(net.image_size, net.image_size),
            mode="bilinear",
            align_corners=False,
        )
        top = _joined([f.top for f in features])
        memory, _ = net._encode_new_memory(
            current_vision_feats=[top.flatten(2).permute(2, 0, 1)],
            feat_sizes=[(self.grid, self.grid)],
            pred_masks_high_res=mask,
            object_score_logits=decoded.score,
            is_mask_from_pts=prompted,
        )
        tokens = memory.to(MEMORY_DTYPE).flatten(2).transpose(1, 2)
        return [lane.clone(memory_format=torch.contiguous_format) for lane in tokens]

    def masks(self, decoded: Decoded, height: int, width: int) -> Tensor:
        """What is shown of B lanes, bool [B, height, width] at the size of the source picture."""
        logits = F.interpolate(decoded.filled, size=(height, width), mode="bilinear", align_corners=False)
        return logits[:, 0] > 0


def _joined(maps: Sequence[Tensor]) -> Tensor:
    """One [1, ...] map per lane as a batch; lanes of one frame share it without a copy."""
    if all(m is maps[0] for m in maps):
        return maps[0].expand(len(maps), -1, -1, -1)
    return torch.cat(tuple(maps))


def _high(features: Sequence[Features]) -> list[Tensor] | None:
    """High-resolution maps of all lanes; [1, ...] where one frame serves all, for they are only added."""
    levels = list(zip(*(f.high for f in features), strict=True))
    return [maps[0] if all(m is maps[0] for m in maps) else torch.cat(maps) for maps in levels] or None
