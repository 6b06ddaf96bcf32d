from __future__ import annotations

import pytest

from signaling.keyring import KeyRing
from signaling.rights import SCOPES, Principal
from signaling.settings import Settings

KEY, VIEW = "0123456789abcdef0123", "only to watch with it"
SETTINGS = Settings(host="0.0.0.0", api_keys=("another key of length", KEY), view_keys=(VIEW,))


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(SETTINGS, required=True, rate=60)


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"Key {KEY}", f"Key  {KEY}"])
async def test_both_spellings_of_a_key(ring: KeyRing, header: str) -> None:
    who = await ring.holder(header)
    assert who is not None
    assert who.scopes == set(SCOPES)
    assert who.key_id.startswith("static:")
    assert len(who.key_id) == len("static:") + 8
    assert KEY not in who.key_id
    assert ring.static(who.key_id) == who


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer {KEY}x", "Key ключ", "Key a:b"]
)
async def test_anything_else_is_refused(ring: KeyRing, header: str | None) -> None:
    assert await ring.holder(header) is None


async def test_a_key_to_watch_watches(ring: KeyRing) -> None:
    who = await ring.holder(f"Bearer {VIEW}")
    assert who is not None
    assert who.scopes == {"view"}


async def test_keys_of_the_database_are_asked_for_after_those_of_the_settings(ring: KeyRing) -> None:
    asked, stored = [], Principal("id", frozenset({"run"}))

    async def lookup(credential: str) -> Principal | None:
        asked.append(credential)
        return stored if credential == "id:secret" else None

    ring.stored = lookup
    assert await ring.holder("Key id:secret") == stored
    assert await ring.holder("Key id:wrong") is None
    assert await ring.holder(f"Key {KEY}") is not None
    assert await ring.holder("Key no-colon-in-this-one") is None
    assert asked == ["id:secret", "id:wrong"]


def test_each_key_has_its_own_rate(ring: KeyRing) -> None:
    slow, other = Principal("slow", frozenset(), max_rate=18), Principal("other", frozenset())
    assert [ring.take(slow) for _ in range(4)] == [True, True, True, False]
    assert all(ring.take(other) for _ in range(10))
    assert not ring.take(other)
