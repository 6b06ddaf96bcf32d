"""Results delivered to the callers' URLs: signed, tried again with growing pauses, none lost.

A delivery is a row written together with the result. It is taken with a lease, so that a server that dies
in the middle leaves it to the next; a receiver may therefore get one twice, always under the same request
id.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence

import httpcore2
from sqlalchemy import select
from sqlalchemy.orm import Session

from signaling.fal.addresses import AddressRefused
from signaling.fal.bells import Bells
from signaling.fal.database import Database
from signaling.fal.fetch import Fetcher, UrlRefused
from signaling.fal.settings import FalSettings
from signaling.fal.signing import Signer
from signaling.fal.tables import Job, Webhook

logger = logging.getLogger("livemask.fal")

ANSWER_SECONDS = 15.0
LEASE_SECONDS = 2 * ANSWER_SECONDS
POLL_SECONDS = 1.0
AT_ONCE = 8
REFUSALS = (UrlRefused, AddressRefused, TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError)


class Webhooks:
    """Delivers what is due. `name` marks this process's leases."""

    def __init__(
        self,
        settings: FalSettings,
        database: Database,
        fetcher: Fetcher,
        signer: Signer,
        bells: Bells,
        name: str,
    ) -> None:
        self._delays = settings.webhook_delays
        self._database, self._fetcher, self._signer = database, fetcher, signer
        self._bells, self._name = bells, name

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                due = await self._claim(time.time())
                await asyncio.gather(*(self._deliver(hook, job) for hook, job in due))
                if not due:
                    await self._bells.wait("webhooks", POLL_SECONDS)
            except Exception:
                logger.exception("webhooks could not be delivered; they will be tried again")
                await asyncio.sleep(POLL_SECONDS)

    async def recover(self, dead: str) -> None:
        """Take back what a dead server was delivering."""

        def work(session: Session) -> None:
            taken = Webhook.lease_owner.startswith(dead, autoescape=True)
            for hook in session.scalars(select(Webhook).where(taken, Webhook.next_at.is_not(None))):
                hook.next_at, hook.lease_owner = time.time(), None

        await self._database.change(work)

    async def _claim(self, now: float) -> Sequence[tuple[Webhook, Job]]:
        def work(session: Session) -> list[tuple[Webhook, Job]]:
            due = select(Webhook, Job).join(Job, Job.id == Webhook.job_id).where(Webhook.next_at <= now)
            due = due.order_by(Webhook.next_at).limit(AT_ONCE).with_for_update(skip_locked=True)
            found = [(hook, job) for hook, job in session.execute(due)]
            for hook, _ in found:
                hook.next_at, hook.lease_owner = now + LEASE_SECONDS, self._name
            return found

        return await self._database.change(work)

    async def _deliver(self, hook: Webhook, job: Job) -> None:
        body = json.dumps(payload(job)).encode()
        try:
            headers = signed_headers(self._signer, job, body, int(time.time()))
            status = await self._fetcher.post(hook.url, headers, body, ANSWER_SECONDS)
            answer, taken = f"HTTP {status}", 200 <= status < 300
        except REFUSALS as error:
            answer, taken = f"{type(error).__name__}: {error}", False
        except Exception:
            logger.exception("webhook of request %s could not be sent", job.id)
            answer, taken = "it could not be sent", False
        await self._database.change(lambda session: self._note(session, hook.job_id, answer, taken))
        if not taken:
            logger.warning("webhook of request %s was not taken: %s", job.id, answer)

    def _note(self, session: Session, job_id: str, answer: str, taken: bool) -> None:
        hook = session.get(Webhook, job_id)
        if hook is None or hook.delivered_at is not None:
            return
        now = time.time()
        hook.last_answer, hook.lease_owner, hook.tries = answer[:1000], None, hook.tries + 1
        if taken:
            hook.delivered_at, hook.next_at = now, None
        elif hook.tries > len(self._delays):
            hook.next_at = None
        else:
            hook.next_at = now + self._delays[hook.tries - 1]


def payload(job: Job) -> dict[str, object]:
    """What fal posts to a webhook."""
    ok = job.http_status == 200
    return {
        "request_id": job.id,
        "gateway_request_id": job.id,
        "status": "OK" if ok else "ERROR",
        "payload": job.result,
        "error": None if ok else f"Invalid status code: {job.http_status}",
    }


def signed_headers(signer: Signer, job: Job, body: bytes, timestamp: int) -> list[tuple[bytes, bytes]]:
    """Ed25519 over `request_id\\nuser_id\\ntimestamp\\nsha256_hex(body)`, as fal documents it."""
    user = job.owner or "anonymous"
    message = "\n".join((job.id, user, str(timestamp), hashlib.sha256(body).hexdigest()))
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-fal-webhook-request-id", job.id.encode()),
        (b"x-fal-webhook-user-id", user.encode()),
        (b"x-fal-webhook-timestamp", str(timestamp).encode()),
        (b"x-fal-webhook-signature", signer.sign(message.encode()).encode()),
    ]
