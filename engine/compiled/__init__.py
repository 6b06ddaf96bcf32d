"""Pico's parts compiled for a CPU by OpenVINO, to be run as `engine.parts`.

The same functions to rounding in a half to a third of the time that torch takes (docs/pico-tried.md).
The network itself stays as it is: what is asked for seldom runs in its own modules.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import MappingProxyType

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine import machine, redrawer, snap
from engine.around import SIDE
from engine.compiled.eightbit import Ranges
from engine.compiled.graph import Graph
from engine.compiled.modules import Decoder, Encoder, Reader, Writer, readable
from engine.features import Clicks, of_lanes
from engine.parts import Masks, Read, no_clicks, pointer_places
from engine.pico import ResidualTrunk
from engine.regressor import EMBEDDED, KEYS, TOLD, VIEWS, Found

BATCHES = (1, 4)  # of lanes, compiled each, in 50 MiB; two together take no less time than one by one
# Tokens of such prompts: their points, and one for that there are no more. A lane that is not prompted has
# as many as one that is clicked.
CLICKED, BOXED, CORRECTED = 2, 3, 4
MORE = 3  # prompted frames in steps of which what is read is filled up, beyond the first
Call = Callable[..., list[Tensor]]  # of a `Graph`

SMOOTH = 8  # pixels from one random value to the next
AT_ONCE = 2  # parts that are compiled: the mask decoder alone takes a third of the time of all


def can_compile(net: SAM2Base, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this is a pico on a CPU that multiplies `dtype`, and OpenVINO is there for it."""
    known = isinstance(net.image_encoder.trunk, ResidualTrunk) and readable(net)
    multiplies = dtype == torch.float32 or (dtype == torch.bfloat16 and machine.cpu_has_bf16())
    return known and device.type == "cpu" and multiplies and importlib.util.find_spec("openvino") is not None


class CompiledParts:
    """`engine.parts.Parts` of a network that `can_compile`; computes with as many threads as torch now.

    What is read is filled up to few sizes, with keys that are ignored: each size has to be compiled.

    Args:
        dtype: to compute in; what goes in and comes out is float32.
        memories: of tracked frames that are read, as a rule.
        ranges: of each part's convolutions that are computed in eight bits, by the name of the part.
    """

    def __init__(
        self,
        net: SAM2Base,
        dtype: torch.dtype,
        memories: int,
        ranges: Mapping[str, Ranges] = MappingProxyType({}),
    ) -> None:
        self._net, threads = net, torch.get_num_threads()
        self._slots, self._pointers = memories + 1, net.max_obj_ptrs_in_encoder  # with one prompted frame
        examples = _Examples(net, self._slots)
        self._no_prior = torch.zeros_like(examples.written(1)[1])
        decoded = [examples.decoded(batch, tokens) for batch in BATCHES for tokens in (BOXED, CLICKED)]
        decoded += [examples.decoded(1, CORRECTED), examples.decoded(max(BATCHES), BOXED, max(BATCHES))]
        read = [examples.read(batch, more) for batch in BATCHES for more in (0, MORE)]
        parts: dict[str, tuple[nn.Module, list[list[Tensor]]]] = {
            "decoder": (Decoder(net), decoded),  # takes longest, and so begins
            "reader": (Reader(net), read),
            "encoder": (Encoder(net), [examples.encoded()]),
            "look": (net.look, [examples.halved()]),
            "writer": (Writer(net), [examples.written(batch) for batch in BATCHES]),
            "regressor": (net.regressor, [examples.regressed(batch) for batch in BATCHES]),
            "outliner": (net.outliner, [examples.windows(batch) for batch in BATCHES]),
        }

        def compiled(name: str) -> Graph:
            return Graph(*parts[name], dtype, threads, ranges.get(name, {}))

        with ThreadPoolExecutor(AT_ONCE, "compiler") as pool:
            graphs = dict(zip(parts, pool.map(compiled, parts), strict=True))
        self.graphs: dict[str, Call] = {**graphs}
        self.eight_bits = any(graph.eight_bits for graph in graphs.values())

    def levels(self, images: Tensor) -> list[Tensor]:
        return self.graphs["encoder"](images)

    def look(self, halves: Tensor) -> Tensor:
        (seen,) = self.graphs["look"](halves)
        return seen

    def found(self, keys: Tensor, cover: Tensor, crops: Tensor, told: Tensor) -> Found:
        return Found(
            *_joined(self.graphs["regressor"](*part) for part in _parts([keys, cover, crops, told], True))
        )

    def outlined(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        change, quality = _joined(self.graphs["outliner"](*part) for part in _parts([windows], True))
        return change, quality

    def masks(
        self,
        source: Tensor,
        clicks: Clicks | None,
        prior: Tensor | None,
        high: list[Tensor] | None,
        several: bool,
    ) -> Masks:
        assert high is not None, "expected a decoder of high-resolution maps"
        said = clicks or no_clicks(len(source), source.device)
        # In float32, outside the graph: in bfloat16 a place would be another.
        sparse = self._net.sam_prompt_encoder._embed_points(said.coords, said.labels, pad=True)
        given = torch.full((1,), float(prior is not None))
        drawn = self._no_prior.expand(len(sparse), -1, -1, -1) if prior is None else prior
        source = source.expand(len(sparse), -1, -1, -1)
        together = sparse.shape[1] == BOXED or (len(high[0]) == 1 and sparse.shape[1] == CLICKED)
        parts = _parts([source, sparse, drawn, given, *high], together)
        masks, quality, tokens, score = _joined(self.graphs["decoder"](*part) for part in parts)
        decoder = self._net.sam_mask_decoder
        if several:
            chosen = tokens[:, 1:] if decoder.use_multimask_token_for_obj_ptr else tokens[:, :1]
            return masks[:, 1:], quality[:, 1:], chosen, score
        if decoder.dynamic_multimask_via_stability:
            masks, quality = decoder._dynamic_multimask_via_stability(masks, quality)
        return masks[:, :1], quality[:, :1], tokens[:, :1], score

    def write(self, tops: Tensor, lanes: list[int], logits: Tensor, score: Tensor, prompted: bool) -> Tensor:
        hard = torch.full((1,), float(prompted and self._net.binarize_mask_from_pts_for_mem_enc))
        each = of_lanes(tops, lanes)
        parts = _parts([each, logits, score], together=len(each) == 1)
        (kept,) = _joined(self.graphs["writer"](*part, hard) for part in parts)
        return kept

    def read(self, tops: Tensor, lanes: list[int], slots: Sequence[Read], pointers: Sequence[Read]) -> Tensor:
        there = len(slots[0]), len(pointers[0])
        more = max(there[0] - self._slots, there[1] - self._pointers, 0)
        more = -(-more // MORE) * MORE
        kept, ages = _filled(slots, self._slots + more)
        points, distances = _filled(pointers, self._pointers + more)
        codes = pointer_places(self._net, distances.flatten()).view(*distances.shape, -1)
        ignored = self._ignored(*there, more)
        each = of_lanes(tops, lanes)
        parts = _parts([each, kept, ages, points, codes], together=len(each) == 1)
        (read,) = _joined(self.graphs["reader"](*part, ignored) for part in parts)
        return read

    @lru_cache(maxsize=16)  # noqa: B019 - of a few sizes, and as long as the network
    def _ignored(self, slots: int, pointers: int, more: int) -> Tensor:
        """0 for the keys of so many, minus infinity for those that fill up."""
        net = self._net
        of_slot, of_pointer = net.sam_image_embedding_size**2, net.hidden_dim // net.mem_dim
        spatial = torch.arange((self._slots + more) * of_slot) >= slots * of_slot
        pointed = torch.arange((self._pointers + more) * of_pointer) >= pointers * of_pointer
        extra = torch.cat((spatial, pointed))
        there = torch.zeros(of_slot, len(extra), dtype=torch.bfloat16)
        return there.masked_fill(extra, -torch.inf)[None, None]


class _Examples:
    """Inputs of the graphs for a number of lanes, on one frame where nothing else is said, by chance."""

    def __init__(self, net: SAM2Base, slots: int) -> None:
        self._chance = torch.Generator().manual_seed(0)
        self._size, self._cells = net.image_size, net.sam_image_embedding_size
        self._width, self._memory = net.hidden_dim, net.mem_dim
        self._slots, self._pointers = slots, net.max_obj_ptrs_in_encoder
        self._kept = 2 * net.memory_attention.layers[0].cross_attn_image.internal_dim

    def encoded(self) -> list[Tensor]:
        return [self._picture(1, 3, self._size)]

    def halved(self) -> list[Tensor]:
        return [self._picture(1, 3, self._size // 2)]

    def regressed(self, batch: int) -> list[Tensor]:
        keys = self._some(batch, VIEWS, EMBEDDED, KEYS**2)
        cover = torch.rand(batch, VIEWS, KEYS**2, generator=self._chance).round()
        crops, told = self._picture(batch, 3, 2 * SIDE), self._picture(batch, TOLD, SIDE)
        return [F.normalize(keys, dim=2), cover, crops, told]

    def windows(self, batch: int) -> list[Tensor]:
        return [self._picture(batch, redrawer.BOXED, snap.SIDE)]

    def decoded(self, batch: int, tokens: int, frames: int = 1) -> list[Tensor]:
        fine, finer = self._map(frames, self._width // 8, 4), self._map(frames, self._width // 4, 2)
        sparse = self._some(batch, tokens, self._width)
        return [self._map(batch, self._width), sparse, self._map(batch, 1, 4), torch.ones(1), fine, finer]

    def written(self, batch: int) -> list[Tensor]:
        return [self._map(1, self._width), self._map(batch, 1, 4), self._some(batch, 1), torch.zeros(1)]

    def read(self, batch: int, more: int) -> list[Tensor]:
        slots, points = self._slots + more, self._pointers + more
        cells, several = self._cells**2, self._width // self._memory
        kept = self._some(batch, slots, cells, self._kept).bfloat16()
        ages = (torch.arange(slots) % self._slots).expand(batch, -1).clone()
        pointers, codes = self._some(batch, points, self._width), self._some(batch, points, self._memory)
        keys = slots * cells + points * several
        ignored = torch.zeros(1, 1, cells, keys, dtype=torch.bfloat16)
        return [self._map(1, self._width), kept, ages, pointers, codes, ignored]

    def _map(self, batch: int, channels: int, times: int = 1) -> Tensor:
        return self._some(batch, channels, times * self._cells, times * self._cells)

    def _picture(self, batch: int, channels: int, size: int) -> Tensor:
        """Smooth, as pictures are: noise is beyond what eight bits were measured for."""
        coarse = self._some(batch, channels, size // SMOOTH, size // SMOOTH)
        return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)

    def _some(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._chance)


def _filled(reads: Sequence[Read], count: int) -> tuple[Tensor, Tensor]:
    """What lanes remember, [B, count, ...], and their ages, int64 [B, count]; filled up with the first."""
    each = [[*lane, *[lane[0]] * (count - len(lane))] for lane in reads]
    remembered = torch.stack([kept for lane in each for _, kept in lane])
    ages = torch.tensor([[age for age, _ in lane] for lane in each])
    return remembered.view(len(each), count, *remembered.shape[1:]), ages


def _joined(parts: Iterable[list[Tensor]]) -> list[Tensor]:
    """Results of parts as those of the whole."""
    return [each[0] if len(each) == 1 else torch.cat(each) for each in zip(*parts, strict=True)]


def _parts(batches: Sequence[Tensor], together: bool) -> Iterator[list[Tensor]]:
    """Batches of lanes, or of one for all lanes, in parts of `BATCHES`, or one by one.

    Args:
        together: such batches of lanes are compiled beforehand.
    """
    first, count = 0, max(map(len, batches))
    while first < count:
        size = max(size for size in BATCHES if size <= count - first) if together else 1
        yield [batch if len(batch) == 1 else batch[first : first + size] for batch in batches]
        first += size
