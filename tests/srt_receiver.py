"""An SRT listener for tests that takes what is pushed to it: GStreamer's srtsrc.

    /usr/bin/python3 srt_receiver.py PORT COUNT PASSPHRASE

Run with the system's Python, which has GStreamer's bindings. It prints "ready" when it listens, and "3" and
ends when that many pictures have come.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402
from receiving import Count  # noqa: E402

port, wanted, passphrase = sys.argv[1], int(sys.argv[2]), sys.argv[3]
Gst.init(None)
loop = GLib.MainLoop()
count = Count(wanted, loop)
line = Gst.parse_launch(
    f'srtsrc uri="srt://127.0.0.1:{port}?mode=listener" passphrase={passphrase} ! tsdemux '
    "! h264parse ! video/x-h264,alignment=au ! identity name=count signal-handoffs=true ! fakesink sync=false"
)
line.get_by_name("count").connect("handoff", count.came)
line.set_state(Gst.State.PLAYING)
print("ready", flush=True)
loop.run()
line.set_state(Gst.State.NULL)
