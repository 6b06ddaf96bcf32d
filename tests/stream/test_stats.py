from stream.bucket import Bucket
from stream.stats import Latency, Rate, Stats


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_counts_the_last_two_seconds() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(90):
        clock.now += 1 / 30
        rate.add()
    assert 29 <= rate.per_second <= 30.5
    assert rate.count == 90
    clock.now += 3
    assert rate.per_second == 0
    assert rate.count == 90


def test_rate_is_honest_before_the_window_is_full() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(15):
        clock.now += 1 / 30
        rate.add()
    assert abs(rate.per_second - 30) < 0.1


def test_latency_percentiles_are_of_the_newest_samples() -> None:
    latency = Latency(keep=100)
    assert latency.as_ms() == {"p50": None, "p95": None}
    for _ in range(1000):
        latency.add(9.0)
    for i in range(100):
        latency.add(i / 1000)
    assert latency.as_ms() == {"p50": 50.0, "p95": 95.0}


def test_snapshot_has_every_field_of_the_protocol() -> None:
    stats = Stats(Clock())
    stats.queue_age = 0.0015
    stats.engine = {"encode": 0.014}
    stats.memory_bytes = 4096
    stats.decoder, stats.encoders = "cuda", ["libvpx"]
    assert stats.snapshot() == {
        "uptime": 0.0,
        "fps_in": 0.0,
        "fps_model": 0.0,
        "fps_out": 0.0,
        "frames_in": 0,
        "frames_model": 0,
        "frames_out": 0,
        "dropped_in": 0,
        "dropped_out": 0,
        "results_dropped": 0,
        "queue_age_ms": 1.5,
        "rtt_ms": None,
        "latency_ms": {"p50": None, "p95": None},
        "stages_ms": {name: {"p50": None, "p95": None} for name in ("wait", "convert", "step", "render")},
        "engine_ms": {"encode": 14.0},
        "memory_bytes": 4096,
        "decoder": "cuda",
        "encoders": ["libvpx"],
    }


def test_bucket_allows_bursts_and_then_the_rate() -> None:
    bucket = Bucket(rate=10, burst=5)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take(0.2) for _ in range(3)] == [True, True, False]
    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]
