"""Pico's parts compiled by OpenVINO say what the modules of `sam2` say."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine import machine
from engine.compiled import CompiledParts, can_compile, graph
from engine.compiled.graph import Graph
from engine.features import Clicks
from engine.look import CHANNELS
from engine.models import Model, load_model
from engine.parts import Parts, Read, StockParts
from engine.synthetic import SyntheticClip
from engine.types import Frame

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(not machine.cpu_has_bf16(), reason="this CPU does not multiply bfloat16")
SIZE, CELLS = 256, 16
FINE, FINER = (16, 64, 64), (32, 32, 32)  # high-resolution maps
# In float32; what has been kept in between, in bfloat16, of other numbers; all in bfloat16.
EXACT, KEPT, ROUGH = 1e-5, 5e-3, 0.03


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(exact_pico: Model) -> Model:
    """Trained, or what is remembered would hardly tell."""
    return exact_pico


@pytest.fixture(scope="module")
def stock(model: Model) -> StockParts:
    return StockParts(model.net)


@pytest.fixture(scope="module")
def compiled(model: Model) -> CompiledParts:
    assert isinstance(model.parts, CompiledParts)
    return model.parts


def off(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype == torch.float32
    return float((got - wanted).norm() / wanted.norm())


def clicks(batch: int, labels: list[int]) -> Clicks:
    return Clicks(torch.rand(batch, len(labels), 2) * SIZE, torch.tensor([labels]).int().expand(batch, -1))


def remembered(parts: Parts, lanes: list[int], slots: int, prompted: bool) -> list[Read]:
    """What lanes keep of the same frames, whoever keeps it."""
    torch.manual_seed(9)
    reads: list[list[tuple[int, Tensor]]] = [[] for _ in lanes]
    for slot in range(slots):
        tops, logits = torch.randn(max(lanes) + 1, 128, CELLS, CELLS), 4 * torch.randn(len(lanes), 1, 64, 64)
        kept = parts.write(tops, lanes, logits, torch.randn(len(lanes), 1), prompted)
        for read, lane in zip(reads, kept.bfloat16(), strict=True):
            read.append((min(slot, 4), lane))
    return reads


def test_pictures_are_encoded_alike(compiled: CompiledParts, stock: StockParts) -> None:
    image = torch.randn(1, 3, SIZE, SIZE)
    levels = stock.levels(image)
    assert [level.shape[-1] for level in levels] == [64, 32, 16]
    assert max(map(off, compiled.levels(image), levels)) < EXACT


def test_filters_see_alike(compiled: CompiledParts, stock: StockParts) -> None:
    half = torch.randn(1, 3, SIZE // 2, SIZE // 2)
    seen = compiled.look(half)
    assert seen.shape == (1, CHANNELS, 64, 64)
    assert off(seen, stock.look(half)) < EXACT


@pytest.mark.parametrize("batch", [1, 3, 4, 7])
@pytest.mark.parametrize("labels", [None, [1], [2, 3], [1, 0, 1], [2, 3, 1, 0]])
def test_prompts_are_decoded_alike(
    compiled: CompiledParts, stock: StockParts, batch: int, labels: list[int] | None
) -> None:
    torch.manual_seed(batch)
    said = None if labels is None else clicks(batch, labels)
    for frames in {1, batch}:  # all lanes on one, or each on its own
        source, prior = torch.randn(batch, 128, CELLS, CELLS), 4 * torch.randn(batch, 1, 64, 64)
        high = [torch.randn(frames, *FINE), torch.randn(frames, *FINER)]
        for several in (True, False):
            for drawn in (None, None if said is None else prior):
                wanted = stock.masks(source, said, drawn, high, several)
                got = compiled.masks(source, said, drawn, high, several)
                assert max(map(off, got, wanted)) < EXACT


def test_many_prompts_are_answered_on_one_picture(compiled: CompiledParts, stock: StockParts) -> None:
    source, high = torch.randn(1, 128, CELLS, CELLS), [torch.randn(1, *FINE), torch.randn(1, *FINER)]
    said = clicks(5, [1])
    wanted = stock.masks(source, said, None, high, several=True)
    assert wanted[0].shape == (5, 3, 64, 64)
    assert max(map(off, compiled.masks(source, said, None, high, several=True), wanted)) < EXACT


@pytest.mark.parametrize("lanes", [[0], [0, 0, 0], [0, 1, 0, 2, 1]], ids=str)
@pytest.mark.parametrize("prompted", [True, False])
@pytest.mark.parametrize(("slots", "pointers"), [(1, 1), (2, 4), (5, 8), (6, 9), (8, 11), (9, 12)])
def test_what_is_written_is_read_alike(
    compiled: CompiledParts, stock: StockParts, lanes: list[int], prompted: bool, slots: int, pointers: int
) -> None:
    """However much there is to read: what fills up a compiled size is not read."""
    ours, theirs = (remembered(parts, lanes, slots, prompted) for parts in (compiled, stock))
    points = [[(7 * age + 1, torch.randn(128)) for age in range(pointers)] for _ in lanes]
    tops = torch.randn(max(lanes) + 1, 128, CELLS, CELLS)
    wanted = stock.read(tops, lanes, theirs, points)
    assert off(compiled.read(tops, lanes, ours, points), wanted) < KEPT


def test_what_is_remembered_tells(compiled: CompiledParts) -> None:
    """Or to read alike would say nothing."""
    points = [[(1, torch.randn(128))]]
    tops, kept = torch.randn(1, 128, CELLS, CELLS), remembered(compiled, [0], 3, prompted=False)
    once = compiled.read(tops, [0], kept, points)
    again = compiled.read(tops, [0], [[(4 - age, lane) for age, lane in kept[0]]], points)
    assert off(again, once) > 2 * KEPT


@needs_bf16
def test_bfloat16_is_as_good_as_it_can_be(stock: StockParts) -> None:
    rough = load_model("pico", device="cpu", dtype=torch.bfloat16).parts
    image, tops = torch.randn(1, 3, SIZE, SIZE), torch.randn(1, 128, CELLS, CELLS)
    errors = list(map(off, rough.levels(image), stock.levels(image)))
    assert EXACT < min(errors), "it is bfloat16 that is computed in"
    source, high = torch.randn(3, 128, CELLS, CELLS), [torch.randn(1, *FINE), torch.randn(1, *FINER)]
    for labels in ([1], [2, 3], [2, 3, 1]):
        given = (source, clicks(3, labels), 4 * torch.randn(3, 1, 64, 64), high, True)
        errors += map(off, rough.masks(*given), stock.masks(*given))
    points = [[(age + 1, torch.randn(128)) for age in range(3)]] * 2
    ours, theirs = (remembered(parts, [0, 0], 3, prompted=False) for parts in (rough, stock))
    errors.append(off(rough.read(tops, [0, 0], ours, points), stock.read(tops, [0, 0], theirs, points)))
    assert max(errors) < ROUGH


class Steep(nn.Module):
    """What bfloat16 is not good enough for."""

    def __init__(self) -> None:
        super().__init__()
        self.product = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(100 * self.product(x))


@needs_bf16
def test_what_bfloat16_gets_wrong_is_computed_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    x, steep = torch.rand(2, 64), Steep().requires_grad_(False)
    with caplog.at_level(logging.INFO):
        (got,) = Graph(steep, [[x]], torch.bfloat16, 1)(x)
    assert off(got, steep(x)) < 1e-3
    assert "Steep in torch.bfloat16 is off by" in caplog.text


def test_what_is_wrong_in_float32_too_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_difference", lambda got, wanted: 1.0)
    with pytest.raises(RuntimeError, match="OpenVINO computes Steep wrongly"):
        Graph(Steep(), [[torch.rand(1, 64)]], torch.float32, 1)(torch.rand(1, 64))


def test_a_pico_that_cannot_be_compiled_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_difference", lambda got, wanted: 1.0)
    model = load_model("pico", device="cpu")
    assert isinstance(model.parts, StockParts)
    assert model.dtype == torch.float32
    assert "Not compiled" in model.why
    assert "OpenVINO computes Decoder wrongly" in model.why
    features = model.stages.encode(torch.zeros(1, 3, 256, 256))
    assert features[0].top.shape == (1, 128, 16, 16)


def test_any_thread_may_call(compiled: CompiledParts, stock: StockParts) -> None:
    images = [torch.randn(1, 3, SIZE, SIZE) for _ in range(4)]
    wanted = [stock.levels(image) for image in images]
    errors: list[float] = []

    def encode(image: Tensor, levels: list[Tensor]) -> None:
        with torch.inference_mode():
            for _ in range(20):
                errors.extend(map(off, compiled.levels(image), levels))

    threads = [threading.Thread(target=encode, args=each) for each in zip(images, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 4 * 20 * 3
    assert max(errors) < EXACT


def test_what_comes_out_belongs_to_whom_it_is_given(compiled: CompiledParts) -> None:
    image = torch.randn(1, 3, SIZE, SIZE)
    first = compiled.levels(image)
    before = [level.clone() for level in first]
    compiled.levels(torch.zeros(1, 3, SIZE, SIZE))
    assert all(map(torch.equal, first, before))


def test_pico_is_compiled_on_a_cpu_in_what_the_cpu_multiplies(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = model.net
    for has_bf16 in (True, False):
        monkeypatch.setattr(machine, "cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert can_compile(net, CPU, torch.float32)
        assert can_compile(net, CPU, torch.bfloat16) == has_bf16
        assert not can_compile(net, torch.device("cuda"), torch.float32)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not can_compile(net, CPU, torch.float32)


WATCHED = """
import sys

def watch(event, args):
    if args[:1] == ("/sbin/ldconfig",):
        return  # torch's build for CUDA looks for a library
    if event in ("socket.getaddrinfo", "socket.connect", "os.fork", "subprocess.Popen"):
        print(event, args)

sys.addaudithook(watch)
from engine.models import load_model
print("compiled", load_model("pico", device="cpu").compiled is not None)
"""


def test_nobody_is_told_of_it() -> None:
    """OpenVINO tells Google Analytics that it was imported, unless it is kept from it."""
    run = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True)
    assert run.stdout == "compiled True\n"


@pytest.mark.parametrize("compiled", [True, False])
def test_torch_works_alone_beside_it_and_no_longer(model: Model, compiled: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []

    def fail() -> None:
        with replace(model, compiled=model.compiled if compiled else None).working():
            seen.append(torch.get_num_threads())
            raise KeyError

    try:
        with pytest.raises(KeyError):
            fail()
        assert [*seen, torch.get_num_threads()] == [1 if compiled else 2, 2]
    finally:
        torch.set_num_threads(before)


class Filters(nn.Module):
    """Two convolutions, and what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.fixture
def filters() -> Filters:
    torch.manual_seed(0)
    return Filters().requires_grad_(False)


def test_convolutions_are_computed_in_eight_bits_where_their_ranges_are_known(filters: Filters) -> None:
    calls = [[torch.randn(1, 3, 32, 32)] for _ in range(4)]
    plain = Graph(filters, calls[:1], torch.float32, 1)
    ranges = plain.measured(calls)
    assert len(ranges) == 2
    assert sorted(low < 0 for low, _ in ranges.values()) == [False, True]
    rounded = Graph(filters, calls[:1], torch.float32, 1, ranges)
    for x in (calls[0][0], torch.randn(2, 3, 24, 40)):
        wanted = filters(x)
        assert off(plain(x)[0], wanted) < EXACT
        assert EXACT < off(rounded(x)[0], wanted) < ROUGH


def test_what_eight_bits_get_wrong_is_computed_without(
    filters: Filters, caplog: pytest.LogCaptureFixture
) -> None:
    x = torch.randn(1, 3, 32, 32)
    ranges = dict.fromkeys(Graph(filters, [[x]], torch.float32, 1).measured([[x]]), (0.0, 0.01))
    with caplog.at_level(logging.INFO):
        (got,) = Graph(filters, [[x]], torch.float32, 1, ranges)(x)
    assert off(got, filters(x)) < EXACT
    assert "Filters in eight bits is off by" in caplog.text


def test_ranges_of_other_convolutions_change_nothing(filters: Filters) -> None:
    x = torch.randn(1, 3, 32, 32)
    graph = Graph(filters, [[x]], torch.float32, 1, {"of another network": (0.0, 1.0)})
    assert not graph.eight_bits
    assert off(graph(x)[0], filters(x)) < EXACT


def test_pico_encodes_pictures_in_eight_bits_where_no_precision_is_asked_for(
    pico: Model, exact_pico: Model, stock: StockParts
) -> None:
    picture = Frame(0, SyntheticClip(320, 240).frame(0)[0])
    image = exact_pico.pixels.read(picture)
    wanted = stock.levels(image)
    assert max(map(off, exact_pico.parts.levels(image), wanted)) < EXACT
    rounded = list(map(off, pico.parts.levels(image), wanted))
    assert 0.01 < max(rounded) < 0.1
    assert pico.precision.endswith(", eight bits")
    assert exact_pico.precision == "float32"
