import copy

import pytest
import torch

from engine import convnorm, machine, packed
from engine.packed.decoder import PackedDecoder
from engine.packed.memory import PackedDownSampler, PackedFuser
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
    convnorm.fuse(fast)
    packed.pack(fast)
    for batch in (1, 2):
        image = torch.randn(batch, 3, 64, 64)
        expected = plain.forward_image(image)["backbone_fpn"]
        for got, level in zip(fast.forward_image(image)["backbone_fpn"], expected, strict=True):
            assert got.shape == level.shape
            torch.testing.assert_close(got, level, rtol=1e-4, atol=1e-4)


def test_the_packed_decoder_gives_the_same_masks() -> None:
    net = trained_pico().eval()
    stock = net.sam_mask_decoder
    fast = PackedDecoder(copy.deepcopy(stock))
    pe = net.sam_prompt_encoder.get_dense_pe()
    for batch, clicks, several in ((1, 2, True), (3, 2, True), (2, 4, False), (1, 3, False)):
        given = {
            "image_embeddings": torch.randn(batch, 128, 4, 4),
            "image_pe": pe,
            "sparse_prompt_embeddings": torch.randn(batch, clicks, 128),
            "dense_prompt_embeddings": torch.randn(batch, 128, 4, 4),
            "multimask_output": several,
            "repeat_image": False,
            "high_res_features": [torch.randn(batch, 16, 16, 16), torch.randn(batch, 32, 8, 8)],
        }
        for got, expected in zip(fast(**given), stock(**given), strict=True):
            assert got.shape == expected.shape
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_packed_decoder_answers_many_prompts_on_one_picture() -> None:
    net = trained_pico().eval()
    stock = net.sam_mask_decoder
    given = {
        "image_embeddings": torch.randn(1, 128, 4, 4),
        "image_pe": net.sam_prompt_encoder.get_dense_pe(),
        "sparse_prompt_embeddings": torch.randn(5, 2, 128),
        "dense_prompt_embeddings": torch.randn(5, 128, 4, 4),
        "multimask_output": True,
        "repeat_image": True,
        "high_res_features": [torch.randn(1, 16, 16, 16), torch.randn(1, 32, 8, 8)],
    }
    expected = stock(**given)
    for got, level in zip(PackedDecoder(stock)(**given), expected, strict=True):
        torch.testing.assert_close(got, level, rtol=1e-4, atol=1e-4)


def test_the_packed_memory_encoder_remembers_the_same() -> None:
    plain = trained_pico().memory_encoder
    sampler, fuser = PackedDownSampler(plain.mask_downsampler), PackedFuser(plain.fuser)
    for batch in (1, 3):
        mask, x = 20 * torch.rand(batch, 1, 64, 64) - 10, torch.randn(batch, 128, 4, 4)
        torch.testing.assert_close(sampler(mask), plain.mask_downsampler(mask), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fuser(x), plain.fuser(x), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not machine.cpu_has_bf16(), reason="this CPU does not multiply bfloat16")
def test_packed_in_bfloat16_the_encoder_gives_float32_to_its_precision() -> None:
    plain = trained_pico()
    fast = copy.deepcopy(plain)
    convnorm.fuse(fast)
    packed.pack(fast, torch.bfloat16)
    image = torch.randn(1, 3, 64, 64)
    expected = plain.forward_image(image)["backbone_fpn"]
    for got, level in zip(fast.forward_image(image)["backbone_fpn"], expected, strict=True):
        assert got.dtype == torch.float32
        assert float((got - level).norm() / level.norm()) < 0.02


def test_pico_is_packed_on_a_cpu_in_what_the_cpu_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    net = trained_pico()
    for has_bf16 in (True, False):
        monkeypatch.setattr(machine, "cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert packed.can_pack(net, CPU, torch.float32)
        assert packed.can_pack(net, CPU, torch.bfloat16) == has_bf16
        assert not packed.can_pack(net, torch.device("cuda"), torch.float32)
    assert not packed.is_packed(net)
    packed.pack(net)
    assert packed.is_packed(net)
