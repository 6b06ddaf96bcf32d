"""What Prometheus reads: one registry per application, filled from the sessions when it is asked."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sized

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signaling.sessions import FrameCounts, Registry

STEP_SECONDS = (0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters that the routes turn, and those that are read off the registry of sessions."""

    def __init__(self, sessions: Registry, viewers: Sized) -> None:
        self._registry = CollectorRegistry()
        self.offers = Counter(
            "livemask_offers", "Offers by what became of them", ["outcome"], registry=self._registry
        )
        self.step_seconds = Histogram(
            "livemask_step_seconds",
            "From handing a frame to the engine to its masks",
            buckets=STEP_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_SessionCollector(sessions, viewers))
        self._registry.register(_LoopCollector())
        ProcessCollector(registry=self._registry)  # memory, processor time, descriptors

    def text(self) -> bytes:
        """The exposition format, version 0.0.4; to be called in the event loop, whose tasks are counted."""
        return generate_latest(self._registry)


class _SessionCollector(Collector):
    """Frames are counted by the sessions themselves; those that ended left their counts behind."""

    def __init__(self, sessions: Registry, viewers: Sized) -> None:
        self._sessions, self._viewers = sessions, viewers

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("livemask_sessions", "Sessions now", value=len(self._sessions))
        yield GaugeMetricFamily("livemask_sessions_limit", "Sessions at most", value=self._sessions.limit)
        yield GaugeMetricFamily("livemask_viewers", "Viewers now", value=len(self._viewers))
        yield GaugeMetricFamily(
            "livemask_sessions_memory_bytes",
            "What the engine keeps for sessions: memories of objects, past frames",
            value=self._sessions.memory_bytes(),
        )
        decoders = GaugeMetricFamily(
            "livemask_sessions_decoder", "Sessions by who decodes their video", labels=["decoder"]
        )
        for decoder, number in sorted(self._sessions.decoders().items()):
            decoders.add_metric([decoder], number)
        yield decoders
        ended = CounterMetricFamily("livemask_sessions_ended", "Sessions that ended", labels=["reason"])
        for reason, count in sorted(self._sessions.ended.items()):
            ended.add_metric([reason], count)
        yield ended
        counts = self._sessions.frame_counts()
        frames = CounterMetricFamily("livemask_frames", "Frames by stage", labels=["stage"])
        for stage in FrameCounts._fields:
            frames.add_metric([stage], getattr(counts, stage))
        yield frames


POOL = "asyncio_"  # what asyncio names the threads of its default executor, at most 4 more than cores


class _LoopCollector(Collector):
    """What must not grow with the number of people who came and went."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("livemask_threads", "Threads, native ones too", value=_threads())
        pooled = sum(thread.name.startswith(POOL) for thread in threading.enumerate())
        yield GaugeMetricFamily("livemask_pool_threads", "Of these, the event loop's own pool", value=pooled)
        yield GaugeMetricFamily("livemask_tasks", "Tasks of the event loop", value=len(asyncio.all_tasks()))


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux: Python's own
        return threading.active_count()
