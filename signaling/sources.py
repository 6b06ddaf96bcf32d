"""From what a client asks for to a source of the server: cameras, URLs and files that the operator allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import BinaryIO, cast

from signaling.cameras import SCHEMES as CAMERA_SCHEMES
from signaling.cameras import Camera
from signaling.errors import ApiError
from signaling.settings import Settings
from stream.sources.address import SourceError, read_address, resolve
from stream.sources.file import FileSource
from stream.sources.remote import SCHEMES as FILE_SCHEMES
from stream.sources.remote import RemoteFile
from stream.sources.request import CameraRequest, FileRequest, SourceRequest, UrlRequest
from stream.sources.rtsp import RtspCamera, RtspSource
from stream.sources.source import Source
from stream.sources.synthetic import sample_source
from stream.wire import Message

STATUS = {"NOT_ALLOWED": 403, "NOT_FOUND": 404}


@dataclass(frozen=True, slots=True)
class Made:
    """A source, and what a session needs to know of it."""

    source: Source
    name: str | None = None
    status: Callable[[], Message] | None = None
    on_demand: bool = False


class Sources:
    """Makes sources; refuses what the settings do not allow."""

    def __init__(self, settings: Settings, cameras: Mapping[str, Camera]) -> None:
        self.cameras = cameras
        self._settings = settings

    async def make(self, request: SourceRequest) -> Made | None:
        """The source asked for; None for the client's own track.

        Raises:
            ApiError: 400, 403 or 404 with the reason.
        """
        try:
            match request:
                case CameraRequest():
                    return self.camera(request.name)
                case UrlRequest():
                    return await self._url(request)
                case FileRequest():
                    return self._file(request)
                case "sample":
                    return Made(await sample_source())
        except SourceError as error:
            raise ApiError(STATUS.get(error.code, 400), error.code, str(error)) from None
        return None

    def camera(self, name: str) -> Made:
        """A camera of the configuration.

        Raises:
            SourceError: NOT_FOUND.
        """
        camera = self.cameras.get(name)
        if camera is None:
            raise SourceError("NOT_FOUND", f"there is no camera {name!r}; GET /cameras names them")
        source = RtspSource(name, camera.rtsp)
        return Made(source, name, source.status)

    async def _url(self, request: UrlRequest) -> Made:
        networks = self._settings.source_networks
        if not networks:
            raise SourceError(
                "NOT_ALLOWED", "sources by URL are off; the operator allows them by --source-networks"
            )
        address = read_address(request.url, (*CAMERA_SCHEMES, *FILE_SCHEMES))
        await resolve(address, networks)
        if address.scheme in FILE_SCHEMES:
            opened = cast("Callable[[], BinaryIO]", partial(RemoteFile, request.url, networks))
            return _played(opened, request, str(address))
        source = RtspSource(str(address), RtspCamera(address, request.transport, networks=networks))
        return Made(source, None, source.status)

    def _file(self, request: FileRequest) -> Made:
        folder = self._settings.media_dir
        if folder is None:
            raise SourceError(
                "NOT_ALLOWED", "files as sources are off; the operator allows them by --media-dir"
            )
        path = _within(Path(folder).resolve(), request.path)
        if path is None:
            raise SourceError("NOT_FOUND", f"there is no file {request.path!r}")
        return _played(path, request, request.path)


def _within(folder: Path, name: str) -> Path | None:
    """The file of that name in or below `folder`, links followed; None where there is none."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # names that no file system has
        return None


def _played(path: Path | Callable[[], BinaryIO], request: UrlRequest | FileRequest, name: str) -> Made:
    speed = 1.0 if request.realtime else inf
    return Made(FileSource(path, request.loop, speed, f"file:{name}"), on_demand=not request.realtime)
