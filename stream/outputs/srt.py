"""A file-like that sends what is written to it over SRT, by the system's libsrt: PyAV's FFmpeg has none.

Knows nothing of video but the size of an MPEG-TS packet. Blocking; for a process of its own.
"""

from __future__ import annotations

import ctypes
import errno
import io
import socket
import struct
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# By soname: a runtime has no development files that the plain names would come from.
NAMES = (
    "libsrt-openssl.so.1.5",
    "libsrt-gnutls.so.1.5",
    "libsrt.so.1.5",
    "libsrt.1.5.dylib",
)
# Seven MPEG-TS packets: what fits a datagram, and what every receiver expects of live streams.
PAYLOAD = 7 * 188
MILLISECONDS = 10_000
# enum SRT_SOCKOPT of srt.h (1.5).
SNDTIMEO, LATENCY, PASSPHRASE, PBKEYLEN, STREAMID = 13, 23, 26, 27, 46
FAILED = -1


class SrtSink(io.RawIOBase):
    """A connection to an SRT listener, in live mode.

    Args:
        url: `srt://host:port` with any of FFmpeg's options `streamid`, `passphrase` (10 to 79 characters),
            `pbkeylen` (16, 24 or 32) and `latency` (microseconds); `mode` may only be `caller`.

    Raises (all methods):
        OSError: no libsrt, nobody there, refused, or gone; in words without the URL.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._rest = b""
        self._socket: int | None = None
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        if not parts.hostname or not parts.port or options.get("mode", "caller") != "caller":
            raise OSError(errno.EINVAL, "srt: expected a host, a port and no mode but caller")
        if not 10 <= len(options.get("passphrase", "x" * 10)) <= 79:
            raise OSError(errno.EINVAL, "srt: passphrase: expected 10 to 79 characters")
        self._srt = _library()
        self._srt.srt_startup()
        self._socket = self._srt.srt_create_socket()
        self._set_options(options)
        address = _address(parts.hostname, parts.port)
        if self._srt.srt_connect(self._socket, address, len(address)) == FAILED:
            reason = self._srt.srt_rejectreason_str(self._srt.srt_getrejectreason(self._socket))
            raise OSError(errno.ECONNREFUSED, f"srt: {self._cause()} ({reason.decode()})")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        whole = self._rest + bytes(data)
        end = len(whole) // PAYLOAD * PAYLOAD
        for start in range(0, end, PAYLOAD):
            self._send(whole[start : start + PAYLOAD])
        self._rest = whole[end:]
        return len(data)

    def flush(self) -> None:
        """Send what is less than a payload too: the end of a picture must not wait for the next."""
        rest, self._rest = self._rest, b""
        if rest:
            self._send(rest)

    def close(self) -> None:
        super().close()
        connected, self._socket = self._socket, None
        if connected is not None:
            self._srt.srt_close(connected)
            self._srt.srt_cleanup()

    def _send(self, payload: bytes) -> None:
        if self._srt.srt_send(self._socket, payload, len(payload)) == FAILED:
            raise OSError(errno.EPIPE, f"srt: {self._cause()}")

    def _set_options(self, options: dict[str, str]) -> None:
        numbers = {SNDTIMEO: MILLISECONDS}
        try:
            if "latency" in options:
                numbers[LATENCY] = int(options["latency"]) // 1000
            if "pbkeylen" in options:
                numbers[PBKEYLEN] = int(options["pbkeylen"])
        except ValueError:
            raise OSError(errno.EINVAL, "srt: latency, pbkeylen: expected whole numbers") from None
        for option, number in numbers.items():
            self._set(option, struct.pack("=i", number))
        for option, name in ((PASSPHRASE, "passphrase"), (STREAMID, "streamid")):
            if name in options:
                self._set(option, options[name].encode())

    def _set(self, option: int, value: bytes) -> None:
        if self._srt.srt_setsockflag(self._socket, option, value, len(value)) == FAILED:
            raise OSError(errno.EINVAL, f"srt: {self._cause()}")

    def _cause(self) -> str:
        return str(self._srt.srt_getlasterror_str().decode(errors="replace"))


def _library() -> ctypes.CDLL:
    for name in NAMES:
        try:
            srt = ctypes.CDLL(name)
        except OSError:
            continue
        srt.srt_getlasterror_str.restype = srt.srt_rejectreason_str.restype = ctypes.c_char_p
        return srt
    raise OSError(errno.ENOSYS, "srt: there is no libsrt 1.5 here (Debian: libsrt1.5-openssl)")


def _address(host: str, port: int) -> bytes:
    """A `sockaddr_in` or `sockaddr_in6`."""
    try:
        family, *_, found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise OSError(errno.EHOSTUNREACH, f"srt: {error.strerror}") from None
    packed = socket.inet_pton(family, str(found[0]).partition("%")[0])
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H4s8x", port, packed)
    return struct.pack("=H", family) + struct.pack("!HI16sI", port, 0, packed, 0)
