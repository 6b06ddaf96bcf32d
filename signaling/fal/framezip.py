"""A ZIP of pictures, written as they come; what it holds is listed on disk, not in memory.

Python's `zipfile` keeps an object for each member until the end, which for an hour of video is more than the
video's own frames take. Members are stored, not compressed: JPEGs gain nothing. (PKWARE APPNOTE 6.3.10.)
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
OFFSET64 = struct.Struct("<2HQ")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")
PLAIN, ZIP64 = 20, 45  # the version that a reader must know
UTF8 = 0x800
NO_TIME, NO_DATE = 0, 0x21  # midnight, 1 January 1980
FILE_MODE = 0o100644 << 16
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF


class FrameZip:
    """Open from its making to `close`; memory does not grow with the number of members.

    Each member must be smaller than 4 GiB; their number and sum have no limit (ZIP64 where it is needed).
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._list = tempfile.TemporaryFile(dir=path.parent)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, name: str, data: bytes) -> None:
        """Add one member."""
        encoded, offset = name.encode(), self._file.tell()
        common = (UTF8, 0, NO_TIME, NO_DATE, zlib.crc32(data), len(data), len(data), len(encoded))
        self._file.write(LOCAL.pack(b"PK\3\4", PLAIN, *common, 0) + encoded + data)
        far = offset >= MAX32
        extra = OFFSET64.pack(1, 8, offset) if far else b""
        version = ZIP64 if far else PLAIN
        head = CENTRAL.pack(
            b"PK\1\2", ZIP64, version, *common, len(extra), 0, 0, 0, FILE_MODE, min(offset, MAX32)
        )
        self._list.write(head + encoded + extra)
        self._count += 1

    def close(self) -> None:
        """Append the list and close the file."""
        start, size = self._file.tell(), self._list.tell()
        self._list.seek(0)
        with self._list, self._file:
            shutil.copyfileobj(self._list, self._file)
            if self._count >= MAX16 or start >= MAX32:
                counts = (0, 0, self._count, self._count, size, start)
                self._file.write(END64.pack(b"PK\6\6", END64.size - 12, ZIP64, ZIP64, *counts))
                self._file.write(LOCATOR.pack(b"PK\6\7", 0, start + size, 1))
            shown = min(self._count, MAX16)
            self._file.write(END.pack(b"PK\5\6", 0, 0, shown, shown, size, min(start, MAX32), 0))
