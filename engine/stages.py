"""The verbs of a step on batches of objects: encode, recall, decode, adopt, remember.

The only file that calls into the SAM 2 network. Knows tensors and what an object remembers; knows no stream,
no prompt of a person and no id. A lane is one object on one frame; all lanes of a call run as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

from engine.attention import attend, to_lanes
from engine.choice import likeliest
from engine.correlation import edges
from engine.dense import dense_prompt
from engine.features import LEAST_SCORE, Clicks, Decoded, Features, distinct, pictures_of
from engine.holes import fill_holes
from engine.memory import Memory
from engine.redrawer import Redrawer, Redrawn
from engine.snap import snap

if TYPE_CHECKING:
    from engine.models import Model

P = ParamSpec("P")
R = TypeVar("R")

MEMORY_DTYPE = torch.bfloat16  # how upstream stores spatial memories, whatever it computes in


def _in_precision(verb: Callable[Concatenate[Stages, P], R]) -> Callable[Concatenate[Stages, P], R]:
    """Run a verb in the network's precision.

    Only what calls the network: filters, histograms and windows would be others in bfloat16, and CPUs
    autocast no float16.
    """

    @wraps(verb)
    def run(stages: Stages, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with stages._autocast():
            return verb(stages, *args, **kwargs)

    return run


class Stages:
    """The network of a model, verb by verb. Stateless between calls but for constant tables."""

    def __init__(self, model: Model) -> None:
        self._net, self._autocast = model.net, model.autocast
        net = self._net
        self._fill_area = model.preset.fill_hole_area
        self._filtered, self._snaps = model.preset.correlation_filter, model.preset.snap
        self.grid = model.image_size // net.backbone_stride
        probe = torch.zeros(1, 1, self.grid, self.grid, device=model.device)
        # Row by row, [1, HW, hidden_dim] and [1, HW, mem_dim].
        self._image_pos = _tokens(net.image_encoder.neck.position_encoding(probe))
        self._memory_pos = _tokens(net.memory_encoder.position_encoding(probe))
        # Row `age` is the temporal code of a tracked frame that old; row 0 that of conditioning frames.
        ages = [net.num_maskmem - 1, *range(net.num_maskmem - 1)]
        self._age_pos = net.maskmem_tpos_enc[ages].flatten(1)  # [num_maskmem, mem_dim]
        self._image_pe = net.sam_prompt_encoder.get_dense_pe()
        nowhere = torch.zeros(1, 1, 2, device=model.device), -torch.ones(1, 1, device=model.device)
        self._no_clicks = net.sam_prompt_encoder(points=nowhere, boxes=None, masks=None)

    def encode(self, images: Tensor) -> list[Features]:
        """Images [N, 3, S, S] to the features of each frame (`SAM2Base.forward_image`).

        A CPU takes as long for a batch as for its pictures one by one, or longer: its cache is full with one.
        """
        encoded = []
        for batch in images[:, None] if images.device.type == "cpu" else (images,):
            levels = self._levels(batch)
            for n, seen in enumerate(self._seen(batch)):
                high = tuple(level[n : n + 1] for level in levels[:-1])
                encoded.append(Features(levels[-1][n : n + 1], high, *seen))
        return encoded

    @_in_precision
    def _levels(self, images: Tensor) -> list[Tensor]:
        """The feature maps of a batch, from fine to coarse."""
        levels: list[Tensor] = self._net.forward_image(images)["backbone_fpn"]
        return levels[-self._net.num_feature_levels :]

    def _seen(self, images: Tensor) -> list[tuple[Tensor | None, Tensor | None]]:
        """`edges` and `picture` of the `Features` of each image."""
        nothing: list[Tensor | None] = [None] * len(images)
        if not (self._filtered or self._snaps):
            return list(zip(nothing, nothing, strict=True))
        half = F.avg_pool2d(images.float(), 2)
        seen = edges(half)[:, None] if self._filtered else nothing
        pictures = half.half()[:, None] if self._snaps else nothing
        return list(zip(seen, pictures, strict=True))

    def unremembered(self, features: Features) -> Tensor:
        """[1, C, H, W] for an object that is seen for the first time: no memory to read."""
        out: Tensor = features.top + self._net.no_mem_embed.view(1, -1, 1, 1)
        return out

    @_in_precision
    def recall(
        self, features: Sequence[Features], memories: Sequence[Memory], frames: Sequence[int]
    ) -> Tensor:
        """Condition each lane's features on its memory (`_prepare_memory_conditioned_features`).

        All lanes must hold equally many spatial memories and pointers.

        Returns:
            [B, C, H, W].
        """
        net, batch, width = self._net, len(memories), self._net.mem_dim
        slots = [memory.slots(frame) for memory, frame in zip(memories, frames, strict=True)]
        reads = [memory.reads(frame) for memory, frame in zip(memories, frames, strict=True)]
        spatial = torch.stack([f for lane in slots for _, f in lane]).to(net.no_mem_embed.dtype)
        ages = torch.tensor([age for lane in slots for age, _ in lane], device=spatial.device)
        spatial_pos = self._memory_pos + self._age_pos.index_select(0, ages)[:, None]
        pointers = torch.stack([p for lane in reads for _, p in lane]).to(spatial.dtype)
        distances = torch.tensor([age for lane in reads for age, _ in lane], device=spatial.device)
        pointer_pos = self._pointer_pos(distances).repeat_interleave(net.hidden_dim // width, dim=0)
        memory = torch.cat((spatial.view(batch, -1, width), pointers.view(batch, -1, width)), dim=1)
        pos = torch.cat((spatial_pos.view(batch, -1, width), pointer_pos.view(batch, -1, width)), dim=1)
        pointer_tokens = pointers.numel() // (batch * width)
        tops, lanes = distinct([f.top for f in features])
        x = _tokens(tops)
        attended = attend(net.memory_attention, x, lanes, self._image_pos, memory, pos, pointer_tokens)
        return attended.transpose(1, 2).view(batch, -1, self.grid, self.grid)

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
        certain: Tensor | None = None,
    ) -> Decoded:
        """Masks of B lanes (`SAM2Base._forward_sam_heads`).

        Args:
            conditioned: [B, C, H, W] of `recall` or `unremembered`.
            clicks: of each lane.
            prior: [B, 1, S/4, S/4] logits given as a mask prompt.
            first: the lane has no memory yet.
            certain: bool [B], lanes whose object is known to be there, whatever the network says of that.
        """
        net = self._net
        points = None if clicks is None else {"point_labels": clicks.labels}
        several: bool = net._use_multimask(first, points)
        masks, ious, tokens, score = self._candidates(conditioned, features, clicks, prior, several)
        lanes = torch.arange(len(masks), device=masks.device)
        if clicks is not None and self._ambiguous(clicks):
            best, logits = likeliest(self._redraw, pictures_of(features), masks.float(), *self._said(clicks))
        else:
            best = ious.argmax(dim=-1) if several else torch.zeros_like(lanes)
            logits = masks[lanes, best][:, None].float()
        token = tokens[lanes, best if tokens.shape[1] > 1 else 0]
        if certain is not None:
            score = torch.where(certain[:, None], score.clamp(min=LEAST_SCORE), score)
        if net.pred_obj_scores:
            logits = torch.where((score > 0)[:, None, None], logits, NO_OBJ_SCORE)
        return Decoded(logits, self._filled(logits), self._pointer(token, score), score)

    def _ambiguous(self, clicks: Clicks) -> bool:
        """A single click may mean several things: presets that snap redraw them all, and choose."""
        return self._snaps and clicks.labels.shape[1] == 1

    @_in_precision
    def _redraw(self, pictures: Sequence[Tensor], logits: Tensor, points: Tensor, labels: Tensor) -> Redrawn:
        redrawer = self._net.redrawer
        assert isinstance(redrawer, Redrawer)
        redrawn: Redrawn = redrawer(pictures, logits, points, labels)
        return redrawn

    def boxed(self, boxes: Tensor) -> tuple[Clicks, Tensor]:
        """One box for each lane as a prompt for `decode`: its corners, and drawn (`engine.dense`).

        Args:
            boxes: float32 [B, 4], centre and size in 0..1.
        """
        net = self._net
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        corners = torch.stack((centre - half, centre + half), dim=1).clamp(0, 1)
        labels = torch.tensor([[2, 3]], dtype=torch.int32, device=boxes.device).expand(len(boxes), 2)
        drawn = dense_prompt(corners, labels, net.sam_prompt_encoder.mask_input_size[0])
        return Clicks(corners * net.image_size, labels), drawn

    def propose(self, features: Features, clicks: Clicks, prior: Tensor | None) -> tuple[Tensor, Tensor]:
        """All masks that the decoder offers for each of N clicks (`SAM2ImagePredictor._predict`).

        Args:
            clicks: one point each, coords [N, 1, 2].
            prior: [N, 1, S/4, S/4] logits, for networks whose clicks are drawn.

        Returns:
            logits float32 [N, 3, S/4, S/4] and their predicted IoU float32 [N, 3].
        """
        image = self.unremembered(features)
        masks, ious, _, _ = self._candidates(image, [features], clicks, prior, several=True)
        return masks.float(), ious.float()

    @_in_precision
    def _candidates(
        self,
        source: Tensor,
        features: Sequence[Features],
        clicks: Clicks | None,
        prior: Tensor | None,
        several: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masks [B, M, S/4, S/4], their predicted IoU [B, M], tokens and object score [B, 1] of the decoder.

        Args:
            source: what each lane reads, or, [1, C, H, W], what all clicks read.
        """
        net = self._net
        if clicks is None:
            sparse, dense = self._no_clicks
            sparse = sparse.expand(len(source), -1, -1)
        else:
            points = (clicks.coords, clicks.labels)
            sparse, dense = net.sam_prompt_encoder(points=points, boxes=None, masks=prior)
        out: tuple[Tensor, Tensor, Tensor, Tensor] = net.sam_mask_decoder(
            image_embeddings=source,
            image_pe=self._image_pe,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            repeat_image=len(source) < len(sparse),
            high_res_features=_high(features),
        )
        return out

    @_in_precision
    def _pointer(self, token: Tensor, score: Tensor) -> Tensor:
        """[B, hidden_dim]: what the mask token says of the object, or that there is none."""
        net = self._net
        pointer: Tensor = net.obj_ptr_proj(token)
        if not net.pred_obj_scores:
            return pointer
        there = score.sigmoid() if net.soft_no_obj_ptr else (score > 0).float()
        if net.fixed_no_obj_ptr:
            pointer = there * pointer
        absent: Tensor = (1 - there) * net.no_obj_ptr
        return pointer + absent

    def snapped(
        self, decoded: Decoded, features: Sequence[Features], clicks: Clicks | None = None
    ) -> Decoded:
        """The same with masks `redrawn`, but for those that `decode` has redrawn already.

        Args:
            clicks: on every one of the masks, the same.
        """
        if clicks is not None and self._ambiguous(clicks):
            return decoded
        filled = self.redrawn(decoded.filled, features, clicks)
        return decoded if filled is decoded.filled else replace(decoded, logits=filled, filled=filled)

    def redrawn(self, logits: Tensor, features: Sequence[Features], clicks: Clicks | None = None) -> Tensor:
        """Masks [B, 1, S/4, S/4] along the colours of the picture (`engine.snap`), for presets with."""
        if not self._snaps or not len(logits):
            return logits
        said = () if clicks is None else (t[0] for t in self._said(clicks))
        return snap(pictures_of(features), logits, *said)

    def _said(self, clicks: Clicks) -> tuple[Tensor, Tensor]:
        """Points [B, P, 2] in 0..1 and labels [B, P]."""
        return clicks.coords / self._net.image_size, clicks.labels

    @_in_precision
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

    @_in_precision
    def remember(self, features: Sequence[Features], decoded: Decoded, prompted: bool) -> list[Tensor]:
        """Spatial memories of B lanes (`SAM2Base._encode_new_memory`).

        Tracked lanes remember the mask softly and as decoded; prompted ones what was shown, binarised.

        Returns:
            per lane [H * W, mem_dim] in `MEMORY_DTYPE`, each with storage of its own.
        """
        net, encoder = self._net, self._net.memory_encoder
        mask = F.interpolate(
            decoded.filled if prompted else decoded.logits,
            size=(net.image_size, net.image_size),
            mode="bilinear",
            align_corners=False,
        )
        hard = prompted and net.binarize_mask_from_pts_for_mem_enc
        mask = (mask > 0).float() if hard else torch.sigmoid(mask)
        mask = mask * net.sigmoid_scale_for_mem_enc + net.sigmoid_bias_for_mem_enc
        frames, lanes = distinct([f.top for f in features])
        # To tokens and back, as upstream: the strides this leaves decide which convolution kernels run.
        frames = frames.flatten(2).permute(2, 0, 1).permute(1, 2, 0).view(frames.shape)
        x = to_lanes(encoder.pix_feat_proj(frames), lanes) + encoder.mask_downsampler(mask)
        memory: Tensor = encoder.out_proj(encoder.fuser(x))
        if net.no_obj_embed_spatial is not None:
            there = (decoded.score > 0).float()[..., None, None]
            memory = memory + (1 - there) * net.no_obj_embed_spatial[..., None, None]
        tokens = _tokens(memory.to(MEMORY_DTYPE))
        return [lane.clone(memory_format=torch.contiguous_format) for lane in tokens]


def _tokens(maps: Tensor) -> Tensor:
    """[B, C, H, W] to [B, H * W, C]."""
    return maps.flatten(2).transpose(1, 2)


def _high(features: Sequence[Features]) -> list[Tensor] | None:
    """High-resolution maps of all lanes; [1, ...] where one frame serves all, for they are only added."""
    levels = zip(*(f.high for f in features), strict=True)
    batches = [distinct(maps) for maps in levels]
    return [maps if maps.shape[0] == 1 else maps[lanes] for maps, lanes in batches] or None
