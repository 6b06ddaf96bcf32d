"""The tables of the database. Times are seconds since 1970 (UTC), sizes bytes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

IN_QUEUE = "IN_QUEUE"
IN_PROGRESS = "IN_PROGRESS"
COMPLETED = "COMPLETED"
KEPT = "livemask-file:"
"""With the id of a file after it: how a job's input names what came as a data URI."""


class Base(DeclarativeBase):
    """Common parent; its metadata is what the migrations describe."""


class Key(Base):
    """An API key. The secret itself is not kept, only its SHA-256."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    max_jobs: Mapped[int | None]
    max_rate: Mapped[int | None]
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class Job(Base):
    """One request. Its states go IN_QUEUE, IN_PROGRESS, COMPLETED; a restart may take it one step back.

    `http_status`, `result`, `error` and `error_type` are the answer, set when COMPLETED, failures included.
    `lease_owner` runs it until `lease_until` and prolongs that while alive.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_next", "status", "priority", "sequence"),
        Index("jobs_owner", "owner", "status"),
    )

    sequence: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    id: Mapped[str] = mapped_column(String(36), unique=True)
    endpoint: Mapped[str] = mapped_column(String(200))
    owner: Mapped[str] = mapped_column(String(36))
    origin: Mapped[str] = mapped_column(String(500))
    status: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int]
    input: Mapped[Any] = mapped_column(JSON)
    start_deadline: Mapped[float | None]
    max_tries: Mapped[int]
    tries: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    lease_owner: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[float | None]
    webhook_url: Mapped[str | None] = mapped_column(Text)
    file_seconds: Mapped[int | None] = mapped_column(BigInteger)
    keep_io: Mapped[bool] = mapped_column(default=True)
    http_status: Mapped[int | None]
    result: Mapped[Any] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    error_type: Mapped[str | None] = mapped_column(String(64))
    inference_seconds: Mapped[float | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    completed_at: Mapped[float | None]
    expires_at: Mapped[float]


class Log(Base):
    """One line that a job printed."""

    __tablename__ = "job_logs"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    message: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(String(8))
    timestamp: Mapped[float]


class File(Base):
    """One stored file; `ready` once its bytes are complete. `job_id` names the job that wrote it."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(36), index=True)
    job_id: Mapped[str | None] = mapped_column(String(36), index=True)
    name: Mapped[str] = mapped_column(String(200))
    content_type: Mapped[str] = mapped_column(String(120))
    size: Mapped[int] = mapped_column(BigInteger)
    ready: Mapped[bool]
    created_at: Mapped[float]
    expires_at: Mapped[float | None] = mapped_column(index=True)


class Part(Base):
    """One part of a multipart upload."""

    __tablename__ = "file_parts"

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    etag: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)


class Webhook(Base):
    """A result to be delivered to `url`; its id is the job's, so that receivers can tell repeats."""

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float | None] = mapped_column(index=True)
    lease_owner: Mapped[str | None] = mapped_column(String(100))
    delivered_at: Mapped[float | None]
    last_answer: Mapped[str | None] = mapped_column(Text)


class SigningKey(Base):
    """The Ed25519 key that signs webhooks and tokens (32 raw private bytes)."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    private: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[float]
