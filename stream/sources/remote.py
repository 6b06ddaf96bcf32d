"""A file behind an http(s) URL, read as if it were local: every host on the way is judged, then pinned.

FFmpeg's own HTTP client would follow redirects anywhere and resolve names by itself. Blocking: for a thread.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
from urllib.parse import urljoin

import certifi

from stream.sources.address import Address, Network, SourceError, read_address, within
from stream.sources.describe import authorize

SECONDS = 10.0
REDIRECTS = 5
SCHEMES = ("http", "https")


class RemoteFile(io.RawIOBase):
    """The body of a URL; a seek asks the server for the rest from there on (RFC 9110 Range).

    Args:
        url: http or https; a user name and password in it go to its host alone, no redirect gets them.
        networks: where every host, redirected to or not, must be.

    Raises:
        SourceError: BAD_URL, NOT_ALLOWED, UNREACHABLE, REDIRECTED, NOT_FOUND, UNAUTHORIZED, BROKEN.
    """

    def __init__(self, url: str, networks: tuple[Network, ...]) -> None:
        super().__init__()
        self._address = read_address(url, SCHEMES)
        self._networks = networks
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._position = 0
        self._size: int | None = None
        self._begin(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._size is not None

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise OSError("the server does not say how long the file is")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        target = max(base + offset, 0)
        if target != self._position:
            self._position = target
            self._hang_up()
        return target

    def read(self, size: int = -1) -> bytes:
        if self._size is not None and self._position >= self._size:
            return b""
        if self._response is None:
            self._begin(self._position)
        assert self._response is not None
        try:
            data = self._response.read(size if size >= 0 else None)
        except (OSError, http.client.HTTPException):
            raise SourceError("BROKEN", f"{self._address}: the connection broke") from None
        self._position += len(data)
        return data

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _begin(self, start: int) -> None:
        for _ in range(REDIRECTS):
            response = self._request(start)
            if response.status in (301, 302, 303, 307, 308):
                target = urljoin(self._address.bare, response.headers.get("location", ""))
                self._hang_up()
                self._address = read_address(target, SCHEMES)
                continue
            self._check(response, start)
            return
        raise SourceError("REDIRECTED", f"{self._address}: redirected more than {REDIRECTS} times")

    def _request(self, start: int) -> http.client.HTTPResponse:
        self._connection = _Pinned(self._address, self._networks)
        try:
            self._connection.request("GET", self._address.path, headers=self._headers(start))
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            cause = "nothing came in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise SourceError("UNREACHABLE", f"{self._address}: {cause}") from None
        return self._response

    def _headers(self, start: int) -> dict[str, str]:
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        if self._address.credentials is not None:
            proof = authorize(self._address.bare, self._address.credentials, ["Basic"])
            headers |= {"Authorization": proof or ""}
        return headers

    def _check(self, response: http.client.HTTPResponse, start: int) -> None:
        if response.status == 206:
            total = response.headers.get("content-range", "").rpartition("/")[2]
            self._size = int(total) if total.isdigit() else None
        elif response.status == 200 and start == 0:
            self._size = None  # it cannot be asked for a part, so there is no seeking
        else:
            codes = {401: "UNAUTHORIZED", 403: "UNAUTHORIZED", 404: "NOT_FOUND", 410: "NOT_FOUND"}
            code = codes.get(response.status, "BROKEN")
            raise SourceError(code, f"{self._address}: the server answered {response.status}")

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._response = None


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was judged; TLS is for the name all the same."""

    def __init__(self, address: Address, networks: tuple[Network, ...]) -> None:
        super().__init__(address.host, address.port, timeout=SECONDS)
        self._address, self._networks = address, networks

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        if not all(within(ipaddress.ip_address(each), self._networks) for each in addresses):
            raise SourceError("NOT_ALLOWED", f"{self.host}: not in a network that sources may be in")
        self.sock = socket.create_connection((addresses[0], self.port), SECONDS)
        if self._address.scheme == "https":
            context = ssl.create_default_context(cafile=certifi.where())
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
