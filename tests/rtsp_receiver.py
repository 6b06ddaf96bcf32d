"""A media server for tests that takes what is pushed to it: gst-rtsp-server's RECORD.

    /usr/bin/python3 rtsp_receiver.py PORT COUNT

Run with the system's Python, which has GStreamer's bindings. It prints "ready" when it listens, and "3" and
ends when that many pictures have come to rtsp://127.0.0.1:PORT/live/secret.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402
from receiving import Count  # noqa: E402

port, wanted = sys.argv[1], int(sys.argv[2])
Gst.init(None)
loop = GLib.MainLoop()
count = Count(wanted, loop)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
factory.set_launch(
    "( rtph264depay name=depay0 ! h264parse ! identity name=count signal-handoffs=true "
    "! fakesink sync=false )"
)


def counted(_, media) -> None:
    media.get_element().get_by_name("count").connect("handoff", count.came)


factory.connect("media-configure", counted)
server.get_mount_points().add_factory("/live/secret", factory)
if not server.attach(None):
    sys.exit("cannot listen")
print("ready", flush=True)
loop.run()
