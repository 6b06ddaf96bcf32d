import ipaddress

import pytest

from stream.sources.address import Credentials, SourceError, read_address, resolve, within

RTSP = ("rtsp", "rtsps")
LAN = (ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/8"))


def test_credentials_are_used_and_never_shown() -> None:
    address = read_address("rtsp://us%40er:p%2Fw@cam.lan:8554/live/1?token=secret", RTSP)
    assert address.url == "rtsp://us%40er:p%2Fw@cam.lan:8554/live/1?token=secret"
    assert str(address) == "rtsp://cam.lan:8554/live/1"
    shown = f"{address} {address!r} {address.credentials!r}"
    assert not any(secret in shown for secret in ("us@er", "us%40er", "p/w", "p%2Fw"))
    assert read_address("rtsp://a:b@cam/", RTSP, Credentials("c", "d")).url == "rtsp://c:d@cam/"
    assert read_address("rtsps://[fd00::1]/x", RTSP).bare == "rtsps://[fd00::1]/x"
    assert read_address("rtsp://cam/x", RTSP).at("10.0.0.7").url == "rtsp://10.0.0.7/x"


@pytest.mark.parametrize(
    "url",
    ["http://cam/", "file:///etc/passwd", "rtsp://", "rtsp://cam:99999/", "rtsp://u:pw@ca m/"],
)
def test_other_addresses_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_address(url, RTSP)
    assert caught.value.code == "BAD_URL"
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.168.1.9", True),
        ("::ffff:192.168.1.9", True),
        ("64:ff9b::c0a8:109", True),
        ("fd00::5", True),
        ("192.168.2.9", False),
        ("127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("::1", False),
    ],
)
def test_only_allowed_networks_are_called(address: str, inside: bool) -> None:
    assert within(ipaddress.ip_address(address), LAN) is inside


async def test_a_name_is_judged_by_every_address_that_it_has() -> None:
    with pytest.raises(SourceError, match="not in a network"):
        await resolve(read_address("rtsp://localhost/", RTSP), LAN)
    loopback = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert await resolve(read_address("rtsp://localhost/", RTSP), loopback)
    with pytest.raises(SourceError, match="no such host"):
        await resolve(read_address("rtsp://nowhere.invalid/", RTSP), None)
