"""What viewers say of the video (RTCP) over real connections, and that nobody else has to bear it."""

from __future__ import annotations

from contextlib import closing

import pytest
from players import Player, page_viewer, player, sample
from signaling_service import Service, until

from signaling.bench.relay import Relay, Weather
from stream import codecs
from stream.outputs.broadcast import Rendition

VIEWERS = {"WHEP": player, "page": page_viewer}


def renditions(service: Service, session: str) -> dict[str, Rendition]:
    """The encodings of a session, by tier."""
    live = service.registry.live(session)
    assert live is not None
    return {tier: each for (_, tier), each in live.broadcast.renditions.items()}


async def shown(playing: Player, pictures: int) -> None:
    """Wait until so many more have been received."""
    wanted = len(playing.frames) + pictures
    await until(lambda: len(playing.frames) >= wanted, 60)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder is made anew for another bitrate, which would be a key frame that nobody asked for."""
    monkeypatch.setattr(codecs, "REBUILD_ABOVE", 1e9)


@pytest.mark.parametrize("kind", VIEWERS)
async def test_a_viewer_that_lost_a_picture_gets_a_key_frame(
    service: Service, steady: None, kind: str
) -> None:
    session = await sample(service)
    async with VIEWERS[kind](service, session) as playing:
        await shown(playing, 5)
        (main,) = renditions(service, session).values()
        for _ in range(2):
            made = main.key_frames
            await shown(playing, 15)
            assert main.key_frames == made, "there are no others that could be taken for it"
            await playing.complain()
            await until(lambda made=made: main.key_frames == made + 1, 60)


async def test_the_client_of_a_session_gets_a_key_frame_too(service: Service, steady: None) -> None:
    async with service.viewer() as viewer:
        await until(lambda: len(viewer.frames) >= 10, 60)
        (session,) = await service.sessions()
        (main,) = renditions(service, session["id"]).values()
        made = main.key_frames
        await Player(viewer.client._connection).complain()
        await until(lambda: main.key_frames > made, 60)


@pytest.mark.parametrize("kind", VIEWERS)
async def test_the_bitrate_follows_what_a_viewer_can_receive(service: Service, kind: str) -> None:
    session = await sample(service)
    relay = Relay(Weather())
    with closing(relay):
        async with VIEWERS[kind](service, session, relay) as playing:
            await shown(playing, 5)
            (main,) = renditions(service, session).values()
            wide = main.bitrate
            (seat,) = main.seats
            relay.weather.rate = 0.5 * wide
            await until(lambda: main.bitrate < 0.7 * wide, 60, lambda: (wide, main.bitrate, seat.estimated))


@pytest.mark.parametrize(
    "weather",
    [
        Weather(rate=100_000),
        Weather(loss=0.3, delay=0.1, jitter=0.05),
        Weather(dark=True),
    ],
    ids=["narrow", "lossy", "dark"],
)
async def test_a_viewer_on_a_bad_wire_leaves_the_others_alone(service: Service, weather: Weather) -> None:
    session = await sample(service)
    live = service.registry.live(session)
    assert live is not None
    relay = Relay(Weather())
    with closing(relay):
        async with player(service, session) as good, player(service, session, relay) as bad:
            await shown(good, 5)
            await shown(bad, 5)
            good_seat = renditions(service, session)["main"].seats[0]
            made, got, spared = live.stats.frames_model.count, len(good.frames), relay.lost
            relay.weather = weather
            await shown(good, 60)
            assert relay.lost > spared
            # All that was made since, but for what is under way on a busy machine.
            assert len(good.frames) - got >= 0.9 * (live.stats.frames_model.count - made) - 5
            assert good_seat.dropped == 0
            relay.weather = Weather()
            await shown(bad, 5)
