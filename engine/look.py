"""What correlation filters see of a picture: a few layers of convolutions, taught for nothing else.

Each value knows a few pixels around it, so that what is small does not look like its surroundings, and what
lies beside a thing says little of it. Taught through the filters themselves (`engine.training.looking`), in
closed form, as CFNet (Valmadre et al., CVPR 2017) and its successors are.

Knows pictures; knows no filter and no object.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.pixels import halved

CHANNELS = 16  # that are looked for
COLOURS = 3  # that are counted, beside them


class Look(nn.Module):
    """Pictures of half the network's size to maps of a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 24, 5, 2, 2)
        self.second = nn.Conv2d(24, 32, 3, 1, 1)
        self.third = nn.Conv2d(32, CHANNELS, 3, 1, 1)

    def forward(self, halves: Tensor) -> Tensor:
        """[N, CHANNELS, S / 2, S / 2] in -1..1 of pictures [N, 3, S, S] of zero mean and unit variance."""
        x = torch.relu(self.first(halves.contiguous(memory_format=torch.channels_last)))
        return torch.tanh(self.third(torch.relu(self.second(x))))


def seen(looked: Tensor, halves: Tensor) -> Tensor:
    """What filters are given of pictures [N, 3, S, S]: what `Look` makes of them, and their own colours.

    Returns:
        [N, CHANNELS + COLOURS, S / 2, S / 2].
    """
    return torch.cat((looked, halved(halves)), dim=1)
