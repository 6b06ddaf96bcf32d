"""STUN and TURN servers for pages and for ourselves; TURN credentials that expire.

Those of the TURN REST convention (draft-uberti-behave-turn-rest), which coturn takes with
`use-auth-secret`: the user name is the time of expiry, the password its HMAC under a shared secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from aiortc import RTCIceServer

from signaling.settings import Settings
from stream.network import Reach
from stream.wire import Message


def credentials(secret: str, lifetime: float, now: float, user: str = "livemask") -> tuple[str, str]:
    """User name and password that coturn accepts until `now + lifetime` (Unix seconds)."""
    username = f"{round(now + lifetime)}:{user}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def ice_servers(settings: Settings) -> list[Message]:
    """RTCIceServer dictionaries (W3C WebRTC 4.2.2) for a page, with fresh credentials."""
    servers: list[Message] = []
    for url in settings.ice_servers:
        server: Message = {"urls": url}
        if url.startswith(("turn:", "turns:")) and settings.turn_secret:
            username, password = credentials(settings.turn_secret, settings.turn_lifetime, time.time())
            server |= {"username": username, "credential": password}
        servers.append(server)
    return servers


def links(settings: Settings) -> list[tuple[bytes, bytes]]:
    """The same as Link headers (RFC 9725 section 4.6)."""
    found = []
    for server in ice_servers(settings):
        link = f'<{server["urls"]}>; rel="ice-server"'
        if "username" in server:
            link += f'; username="{server["username"]}"; credential="{server["credential"]}"'
            link += '; credential-type="password"'
        found.append((b"link", link.encode()))
    return found


def reach(settings: Settings) -> Reach:
    """How peers reach this server."""
    return Reach(
        tuple(RTCIceServer(**server) for server in ice_servers(settings)), settings.advertised_addresses
    )
