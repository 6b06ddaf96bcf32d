import copy

import torch

from engine import packed, pico
from engine.pico import PicoConfig, build_pico

CPU = torch.device("cpu")


def trained_pico() -> torch.nn.Module:
    """Norms with statistics of their own, as after training."""
    torch.manual_seed(3)
    net = build_pico(PicoConfig(image_size=64, depths=(1, 2, 1, 1)))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    net.eval().requires_grad_(False)
    return net


def test_packing_changes_nothing_but_rounding() -> None:
    plain = trained_pico()
    fast = copy.deepcopy(plain)
    pico.fuse(fast)
    packed.pack(fast)
    for batch in (1, 2):
        image = torch.randn(batch, 3, 64, 64)
        expected = plain.forward_image(image)["backbone_fpn"]
        for got, level in zip(fast.forward_image(image)["backbone_fpn"], expected, strict=True):
            assert got.shape == level.shape
            torch.testing.assert_close(got, level, rtol=1e-4, atol=1e-4)


def test_only_pico_in_float32_on_a_cpu_is_packed() -> None:
    net = trained_pico()
    assert packed.can_pack(net, CPU, torch.float32)
    assert not packed.can_pack(net, CPU, torch.bfloat16)
    assert not packed.can_pack(net, torch.device("cuda"), torch.float32)
    packed.pack(net)
    assert isinstance(net.image_encoder, packed.PackedEncoder)
