"""GStreamer's webrtcbin as a WHIP publisher. Run with the system's Python, which has GStreamer's bindings:

    /usr/bin/python3 gst_publisher.py URL TOKEN vp8|h264

It sends colour bars until its standard input closes, then ends the session by DELETE. Prints "up" once it is
connected. Its certificate is an RSA one, as GStreamer makes them.
"""

import sys
import urllib.parse
import urllib.request

import gi

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay"
    " ! application/x-rtp,media=video,encoding-name=VP8,payload=96",
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! video/x-h264,profile=baseline"
    " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"
    " ! application/x-rtp,media=video,encoding-name=H264,payload=96",
}
url, token, codec = sys.argv[1:]
sessions = []  # where the answer said that ours is
promises = []  # which GStreamer does not keep for Python


def call(method: str, target: str, body: bytes | None = None):
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    return urllib.request.urlopen(urllib.request.Request(target, body, headers, method=method), timeout=30)


def needed(element) -> None:
    promises.append(Gst.Promise.new_with_change_func(offered, element, None))
    element.emit("create-offer", None, promises[-1])


def offered(promise, element, _) -> None:
    promise.wait()
    promises.append(promise.get_reply())  # the offer lives in it
    element.emit("set-local-description", promises[-1].get_value("offer"), Gst.Promise.new())


def gathered(element, _) -> None:
    """All candidates are in the offer: there is no trickling."""
    if element.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE or sessions:
        return
    with call("POST", url, element.get_property("local-description").sdp.as_text().encode()) as response:
        sessions.append(urllib.parse.urljoin(url, response.headers["Location"]))
        _, message = GstSdp.SDPMessage.new_from_text(response.read().decode())
    answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
    element.emit("set-remote-description", answer, Gst.Promise.new())


def changed(element, _) -> None:
    if element.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
        print("up", flush=True)


def leave(channel, condition) -> bool:
    for session in sessions:
        call("DELETE", session).close()
    loop.quit()
    return False


Gst.init(None)
loop = GLib.MainLoop()
pipeline = Gst.parse_launch(
    "webrtcbin name=rtc bundle-policy=max-bundle videotestsrc is-live=true pattern=smpte"
    f" ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! {ENCODERS[codec]} ! rtc."
)
rtc = pipeline.get_by_name("rtc")
rtc.connect("on-negotiation-needed", needed)
rtc.connect("notify::ice-gathering-state", gathered)
rtc.connect("notify::connection-state", changed)
GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, leave)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
