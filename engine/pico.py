"""`pico`: SAM 2.1's architecture at laptop size, built from the modules of `sam2`.

Everything but the trunk is stock SAM 2.1 with small numbers. The trunk is a plain residual network: dense
3x3 convolutions run near a CPU's peak where depthwise ones and attention do not, and learn fast from
little data (docs/pico-tried.md has the numbers). What SAM 2 does not have goes with it: redrawers for what
is clicked and for what is in a box, what correlation filters see, and a regressor of boxes. Knows no
weights file, no tracker and no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine.convnorm import ConvNorm
from engine.look import Look
from engine.redrawer import BOXED, CLICKED, Redrawer
from engine.regressor import BoxRegressor


@dataclass(frozen=True, slots=True)
class PicoConfig:
    """Sizes of the network. Strides of the four stages are 4, 8, 16 and 32."""

    image_size: int = 256
    stem: int = 24
    dims: tuple[int, int, int, int] = (32, 64, 128, 256)
    depths: tuple[int, int, int, int] = (1, 2, 2, 1)
    d_model: int = 128
    mem_dim: int = 64
    memory_layers: int = 1
    memory_feedforward: int = 512
    fuser_layers: int = 1
    num_maskmem: int = 5
    max_obj_ptrs: int = 8


class ResidualBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = ConvNorm(dim, dim)
        self.second = ConvNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Stage(nn.Module):
    """Halve the resolution, then `depth` residual blocks."""

    def __init__(self, dim_in: int, dim: int, depth: int) -> None:
        super().__init__()
        self.down = ConvNorm(dim_in, dim, stride=2)
        self.blocks = nn.Sequential(*(ResidualBlock(dim) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(torch.relu(self.down(x)))
        return out


class ResidualTrunk(nn.Module):
    """Image [B, 3, S, S] to features at strides 4, 8, 16, 32 (finest first), as `ImageEncoder` wants.

    Every level leaves through a norm of its own: without one the stride-16 features outgrow the prompt
    and position embeddings that are added to them, and the prompts are no longer heard.
    """

    def __init__(self, stem: int, dims: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNorm(3, stem, stride=2)
        inputs = [stem, *dims[:-1]]
        self.stages = nn.ModuleList(Stage(*sizes) for sizes in zip(inputs, dims, depths, strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm2d(dim) for dim in dims)
        self.channel_list = list(dims[::-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        x = torch.relu(self.stem(x))
        levels = []
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = stage(x)
            levels.append(norm(x))
        return levels


def build_pico(config: PicoConfig | None = None) -> SAM2Base:
    """An untrained pico in training mode on the CPU, float32.

    Flags are those of `configs/sam2.1/sam2.1_hiera_t.yaml` with the overrides that
    `sam2.build_sam.build_sam2_video_predictor` makes for its post-processing.
    """
    c = config or PicoConfig()
    net = SAM2Base(
        image_encoder=_image_encoder(c),
        memory_attention=_memory_attention(c),
        memory_encoder=_memory_encoder(c),
        num_maskmem=c.num_maskmem,
        image_size=c.image_size,
        max_obj_ptrs_in_encoder=c.max_obj_ptrs,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        binarize_mask_from_pts_for_mem_enc=True,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        no_obj_embed_spatial=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        use_mlp_for_obj_ptr_proj=True,
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    )
    net.redrawer, net.outliner = Redrawer(CLICKED), Redrawer(BOXED)
    net.look, net.regressor = Look(), BoxRegressor()
    return net


def resize(net: SAM2Base, image_size: int) -> None:
    """Make `net` take square images of `image_size`, in place; no parameter depends on it.

    Raises:
        ValueError: `image_size` is not a positive multiple of 32.
    """
    if image_size <= 0 or image_size % 32:
        raise ValueError(f"image size must be a positive multiple of 32, got {image_size}")
    cells = image_size // 16
    net.image_size = image_size
    net.sam_image_embedding_size = cells
    net.sam_prompt_encoder.image_embedding_size = (cells, cells)
    net.sam_prompt_encoder.input_image_size = (image_size, image_size)
    net.sam_prompt_encoder.mask_input_size = (4 * cells, 4 * cells)


def _image_encoder(c: PicoConfig) -> ImageEncoder:
    trunk = ResidualTrunk(c.stem, c.dims, c.depths)
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=c.d_model),
        d_model=c.d_model,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _memory_attention(c: PicoConfig) -> MemoryAttention:
    grid = c.image_size // 16
    layer = MemoryAttentionLayer(
        activation="relu",
        d_model=c.d_model,
        dim_feedforward=c.memory_feedforward,
        dropout=0.0,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=_attention(c, grid),
        cross_attention=_attention(c, grid, rope_k_repeat=True, kv_in_dim=c.mem_dim),
    )
    return MemoryAttention(c.d_model, pos_enc_at_input=True, layer=layer, num_layers=c.memory_layers)


def _attention(
    c: PicoConfig, grid: int, rope_k_repeat: bool = False, kv_in_dim: int | None = None
) -> RoPEAttention:
    return RoPEAttention(
        rope_theta=10000.0,
        feat_sizes=(grid, grid),
        rope_k_repeat=rope_k_repeat,
        embedding_dim=c.d_model,
        num_heads=1,
        downsample_rate=2,
        kv_in_dim=kv_in_dim,
    )


def _memory_encoder(c: PicoConfig) -> MemoryEncoder:
    return MemoryEncoder(
        out_dim=c.mem_dim,
        in_dim=c.d_model,
        position_encoding=PositionEmbeddingSine(num_pos_feats=c.mem_dim),
        mask_downsampler=MaskDownSampler(embed_dim=c.d_model, kernel_size=4, stride=4, padding=0),
        fuser=Fuser(CXBlock(c.d_model, layer_scale_init_value=1e-2), c.fuser_layers),
    )
