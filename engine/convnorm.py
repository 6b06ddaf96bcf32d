"""A convolution and its batch norm, which are one convolution once nothing is learnt any more."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Module):
    """3x3 convolution and batch norm; `fuse` folds the norm into the convolution."""

    def __init__(self, dim_in: int, dim_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim_out, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out

    def fuse(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def fuse(net: nn.Module) -> None:
    """Fold every norm that follows a convolution into it, in place; `net` must be in eval mode."""
    for module in net.modules():
        if isinstance(module, ConvNorm):
            module.fuse()
