"""GStreamer's webrtcbin as a WHIP publisher: `/usr/bin/python3 gst_publisher.py URL`.

Sends its colour bars until its standard input closes, then ends the session by DELETE. Prints "up" once it
is connected.
"""

import sys
import urllib.parse
import urllib.request

import gi

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

url = sys.argv[1]
location = None

Gst.init(None)
loop = GLib.MainLoop()
pipeline = Gst.parse_launch(
    "webrtcbin name=rtc bundle-policy=max-bundle videotestsrc is-live=true pattern=smpte"
    " ! video/x-raw,width=320,height=240,framerate=15/1 ! vp8enc deadline=1 keyframe-max-dist=30"
    " ! rtpvp8pay pt=96 ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! rtc."
)
rtc = pipeline.get_by_name("rtc")


def offered(promise, element, _) -> None:
    promise.wait()
    reply = promise.get_reply()
    promises.append(reply)  # the offer lives in it
    element.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())


def gathered(element, _) -> None:
    global location
    if rtc.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE or location:
        return
    body = rtc.get_property("local-description").sdp.as_text().encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/sdp"}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        location = urllib.parse.urljoin(url, response.headers["Location"])
        _, message = GstSdp.SDPMessage.new_from_text(response.read().decode())
    answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
    rtc.emit("set-remote-description", answer, Gst.Promise.new())


def changed(element, _) -> None:
    if rtc.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
        print("up", flush=True)


def leave(channel, condition) -> bool:
    urllib.request.urlopen(urllib.request.Request(location, method="DELETE"), timeout=30).close()
    loop.quit()
    return False


promises = []  # GStreamer does not keep them for Python


def needed(element) -> None:
    promises.append(Gst.Promise.new_with_change_func(offered, element, None))
    element.emit("create-offer", None, promises[-1])


rtc.connect("on-negotiation-needed", needed)
rtc.connect("notify::ice-gathering-state", gathered)
rtc.connect("notify::connection-state", changed)
GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, leave)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
