"""Loading: which model, from where, and what is said when it cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from official import SMALL, clip_frames, small_net
from safetensors.torch import save_file
from sam2 import build_sam

from engine import machine, models, nets, weights
from engine.models import MODELS, Model, Preset, load_model
from engine.pico import build_pico
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import Box, EngineError, Frame, Point, Points


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return small_net().state_dict()


@pytest.fixture(scope="module")
def checkpoint(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.pt"
    torch.save({"model": state}, path)
    return path


def refused(code: str, **options: object) -> str:
    with pytest.raises(EngineError) as caught:
        load_model(**options)  # type: ignore[arg-type]
    assert caught.value.code == code, caught.value
    return str(caught.value)


def test_a_local_checkpoint_with_its_config(checkpoint: Path, state: dict[str, torch.Tensor]) -> None:
    model = load_model(checkpoint=checkpoint, config=SMALL, device="cpu", dtype=torch.float32)
    assert model.name == "small"
    assert model.image_size == 128
    assert str(checkpoint) in model.why
    assert not model.net.training
    assert not any(p.requires_grad for p in model.net.parameters())
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_safetensors_and_pt_load_alike(
    checkpoint: Path, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    one = load_model(checkpoint=checkpoint, config=SMALL, device="cpu").net.state_dict()
    other = load_model(checkpoint=path, config=SMALL, device="cpu").net.state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_files_are_named(
    suffix: str, checkpoint: Path, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    whole = checkpoint
    if suffix == ".safetensors":
        whole = tmp_path / "whole.safetensors"
        save_file({k: v.contiguous() for k, v in state.items()}, whole)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert str(path) in refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)


def test_keys_must_match(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "keys.pt"
    torch.save({"model": {k: v for k, v in state.items() if k != "no_obj_ptr"}}, path)
    assert "no_obj_ptr" in refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)
    torch.save({"model": {**state, "left.over": torch.zeros(1)}}, path)
    assert "left.over" in refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)
    torch.save({"model": {**state, "no_obj_ptr": torch.zeros(1, 3)}}, path)
    assert "no_obj_ptr" in refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)
    torch.save(state, path)
    assert '"model"' in refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)


def test_files_that_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "code.pt"
    torch.save({"model": os.getcwd}, path)
    refused("BAD_WEIGHTS", checkpoint=path, config=SMALL)


def test_missing_files_are_named(checkpoint: Path, tmp_path: Path) -> None:
    assert "nowhere.pt" in refused("MISSING_WEIGHTS", checkpoint=tmp_path / "nowhere.pt", config=SMALL)
    assert "nowhere.yaml" in refused("BAD_CONFIG", checkpoint=checkpoint, config="nowhere.yaml")
    assert "both" in refused("BAD_CONFIG", checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {", "readable"),
        ("other: 1", "`model`"),
        ("model: {image_encoder: {_target_: os.system, command: ls}}", "not part of sam2.modeling"),
        ("model: {image_size: 64}", "does not build"),
    ],
)
def test_bad_configs_are_explained(text: str, said: str, checkpoint: Path, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    assert said in refused("BAD_CONFIG", checkpoint=checkpoint, config=config)


def test_variants_that_are_not_followed_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = tmp_path / "variant.yaml"
    text = Path(SMALL).read_text()
    config.write_text(text.replace("directly_add_no_mem_embed: true", "directly_add_no_mem_embed: false"))
    assert "directly_add_no_mem_embed" in refused("BAD_CONFIG", checkpoint=checkpoint, config=config)


def test_image_size_changes_every_table(checkpoint: Path) -> None:
    model = load_model(checkpoint=checkpoint, config=SMALL, device="cpu", image_size=64)
    assert model.image_size == model.net.image_size == 64
    assert model.net.sam_prompt_encoder.mask_input_size == (16, 16)
    for layer in model.net.memory_attention.layers:
        assert layer.cross_attn_image.freqs_cis.shape[0] == layer.self_attn.freqs_cis.shape[0] == 16
    assert "64 pixels" in model.why
    refused("BAD_IMAGE_SIZE", checkpoint=checkpoint, config=SMALL, image_size=100)


def test_names_sizes_and_devices_that_do_not_exist() -> None:
    assert "sam2.1-large" in refused("UNKNOWN_MODEL", name="sam3")
    assert "1024 or 512" in refused("BAD_IMAGE_SIZE", name="sam2.1-tiny", image_size=256)
    assert "cpu" in refused("NO_DEVICE", device="tpu")


def test_the_table_names_the_files_that_upstream_names() -> None:
    upstream = {
        hub_id: files for hub_id, files in build_sam.HF_MODEL_ID_TO_FILENAMES.items() if "sam2.1" in hub_id
    }
    ours = {preset.hub_id: (preset.config, preset.checkpoint) for preset in MODELS.values() if preset.hub_id}
    assert ours == upstream


def test_metas_smallest_is_built_as_published() -> None:
    net = nets.from_config(MODELS["sam2.1-tiny"].config or "", 512)
    count = sum(p.numel() for p in net.parameters())
    assert f"{count / 1e6:.0f} M" == MODELS["sam2.1-tiny"].parameters
    assert net.sam_mask_decoder.dynamic_multimask_via_stability
    assert net.binarize_mask_from_pts_for_mem_enc
    nets.check(net, "sam2.1-tiny")


def test_a_cached_model_is_found_without_network(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Preset("cached", "small.pt", SMALL, "someone/small", image_sizes=(128, 64))
    monkeypatch.setitem(models.MODELS, "cached", row)
    folder = tmp_path / "models--someone--small"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("0" * 40) / "small.pt").write_bytes(checkpoint.read_bytes())
    monkeypatch.setattr(weights, "hf_hub_download", _offline_download(tmp_path))
    assert load_model("cached", device="cpu").image_size == 128
    assert load_model("cached", device="cpu", image_size=64).image_size == 64


def _offline_download(cache: Path) -> object:
    """The real function on another cache; asking the hub is an error."""
    from huggingface_hub import hf_hub_download

    def download(repo: str, name: str, local_files_only: bool) -> str:
        return hf_hub_download(repo, name, cache_dir=cache, local_files_only=local_files_only)

    return download


def test_without_network_the_error_says_how_to_fetch(tmp_path: Path) -> None:
    code = "from engine import load_model, EngineError\ntry: load_model('sam2.1-tiny', device='cpu')\n"
    code += "except EngineError as error: print(error.code, error)"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.startswith("MISSING_WEIGHTS"), run.stderr
    assert "hf download facebook/sam2.1-hiera-tiny sam2.1_hiera_tiny.pt" in run.stdout


def test_auto_is_pico_where_there_is_no_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    save_file(
        {k: v.contiguous() for k, v in build_pico().state_dict().items()}, tmp_path / "pico.safetensors"
    )
    monkeypatch.setattr(weights, "BUNDLED", tmp_path)
    model = load_model("auto", device="cpu")
    assert model.name == "pico"
    assert "no CUDA" in model.why
    assert model.preset.dense_prompts
    assert model.stages.encode(model.pixels.read(Frame(0, torch.zeros(48, 64, 3).byte().numpy())))


def test_auto_on_cuda_falls_back_to_pico_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, local_files_only: bool = False, **__: object) -> str:
        raise LocalEntryNotFoundError("not cached") if local_files_only else OSError("no route to the hub")

    monkeypatch.setattr(weights, "hf_hub_download", unreachable)
    preset, why = models._choose("auto", torch.device("cuda"))
    assert preset.name == "pico"
    assert "no route to the hub" in why
    assert "sam2.1-small" in why
    monkeypatch.setattr(weights, "hf_hub_download", lambda *_, **__: "/cache/small.pt")
    preset, why = models._choose("auto", torch.device("cuda"))
    assert preset.name == "sam2.1-small"
    assert "CUDA" in why


def test_missing_bundled_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "BUNDLED", tmp_path)
    assert "pico.safetensors" in refused("MISSING_WEIGHTS", name="pico")


def test_bfloat16_runs_under_autocast(checkpoint: Path) -> None:
    """On this CPU it may be emulated; the small network shows that the mixture of types works at all."""
    model = load_model(checkpoint=checkpoint, config=SMALL, device="cpu", dtype=torch.bfloat16)
    tracker = Tracker(model)
    for frame in clip_frames(4):
        prompts = {
            0: (Points(1, (Point(0.4, 0.5),)),),
            2: (Box(2, 0.1, 0.1, 0.5, 0.5), Points(1, (Point(0.3, 0.3),))),
        }
        result = tracker.step(frame, prompts.get(frame.index, ()))
    assert [o.object_id for o in result.objects] == [1, 2]
    assert model.net.memory_attention.layers[0].linear1.weight.dtype == torch.bfloat16
    assert model.net.maskmem_tpos_enc.dtype == torch.float32


@pytest.mark.parametrize("multiplied", [True, False])
def test_pico_sees_the_same_in_bfloat16(
    exact_pico: Model, multiplied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed where the CPU multiplies it, under autocast where it does not; its filters see float32."""
    if multiplied and not machine.cpu_has_bf16():
        pytest.skip("this CPU does not multiply bfloat16")
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: multiplied)
    clip = SyntheticClip(160, 120)
    prompts = [Points(i, (Point(x, y),)) for i, (_, x, y) in clip.clicks().items()]
    masks = []
    rough = load_model("pico", device="cpu", dtype=torch.bfloat16)
    for model in (exact_pico, rough):
        tracker = Tracker(model)
        steps = [tracker.step(Frame(k, clip.frame(k)[0]), [] if k else prompts) for k in range(3)]
        masks.append(np.stack([[o.mask for o in step.objects] for step in steps]))
    shared, either = (masks[0] & masks[1]).sum((2, 3)), (masks[0] | masks[1]).sum((2, 3))
    assert (shared >= 0.9 * either).all(), shared / either


def test_torchvision_is_never_imported_and_types_need_no_torch() -> None:
    code = "import sys, engine.types\nassert 'torch' not in sys.modules\n"
    code += "import engine, engine.worker\nengine.Tracker, engine.load_model\n"
    code += "assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
