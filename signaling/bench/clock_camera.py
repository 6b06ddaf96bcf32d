"""A network camera whose every picture says when it was taken: gst-rtsp-server, for the outputs benchmark.

    /usr/bin/python3 clock_camera.py PORT WIDTH HEIGHT FPS

Run with the system's Python, which has GStreamer's bindings, and knowing nothing of Livemask's packages. It
prints "ready" when it listens. A square wanders over a grey ramp; along the lower edge stands the barcode of
`signaling.demo.barcode` with the milliseconds of CLOCK_MONOTONIC modulo 4096 at the moment of painting.
"""

import sys
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

BITS = 12
LAUNCH = (
    "( appsrc name=camera is-live=true do-timestamp=true format=time "
    "caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=3000 ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class Painter:
    """Pictures of one size as I420 bytes."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._side = max(4, width // 40 // 2 * 2)
        ramp = bytes(50 + 90 * column // width for column in range(width))
        self._luma = ramp * height
        self._chroma = bytes([128]) * (width * height // 2)
        self._count = 0

    def paint(self) -> bytes:
        self._count += 1
        luma = bytearray(self._luma)
        self._square(luma)
        self._stamp(luma, time.monotonic_ns() // 1_000_000 % (1 << BITS))
        return bytes(luma) + self._chroma

    def _square(self, luma: bytearray) -> None:
        side = self.height // 4
        left = 4 * self._count % (self.width - side)
        for row in range(side // 2, side // 2 + side):
            start = row * self.width + left
            luma[start : start + side] = b"\xc8" * side

    def _stamp(self, luma: bytearray, number: int) -> None:
        line = b"".join(
            bytes([16 + 219 * level]) * self._side
            for i in range(BITS)
            for level in (number >> i & 1, 1 - (number >> i & 1))
        )
        for row in range(self.height - self._side, self.height):
            luma[row * self.width : row * self.width + len(line)] = line


def main(port: str, width: int, height: int, fps: int) -> None:
    Gst.init(None)
    loop, painter, cameras = GLib.MainLoop(), Painter(width, height), []
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(width=width, height=height, fps=fps))
    factory.set_shared(True)
    factory.connect("media-configure", lambda _, media: cameras.append(camera_of(media)))
    server.get_mount_points().add_factory("/clock", factory)
    if not server.attach(None):
        sys.exit("cannot listen")

    def take() -> bool:
        for camera in cameras[-1:]:
            camera.emit("push-buffer", Gst.Buffer.new_wrapped(painter.paint()))
        return True

    GLib.timeout_add(round(1000 / fps), take)
    print("ready", flush=True)
    loop.run()


def camera_of(media: Any) -> Any:
    return media.get_element().get_by_name("camera")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
