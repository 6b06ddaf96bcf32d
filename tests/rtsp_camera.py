"""A network camera for tests: gst-rtsp-server. Run with the system's Python, which has GStreamer's bindings:

    /usr/bin/python3 rtsp_camera.py PORT [--user U --password P] [--codec h264|h265|mjpeg] [--size WxH]
        [--tls FILE]   with certificate and key in one PEM file

It prints "ready" when it listens, and takes commands on its standard input: "size WxH" changes the size of
the pictures while the stream runs. The picture is GStreamer's colour bars with noise in a corner.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

# One thread is one slice a picture: the payloader would repeat the parameter sets before each slice of a key
# picture, and FFmpeg takes that for two pictures of half the content.
ENCODERS = {
    "h264": "x264enc threads=1 tune=zerolatency speed-preset=ultrafast key-int-max=10 bitrate=500"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10"
    " ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}
sizes = []


def launch(codec: str, size: str, fps: int, pattern: str) -> str:
    width, height = size.split("x")
    return (
        f"( videotestsrc is-live=true pattern={pattern} ! capsfilter name=size "
        f"caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
        f"{ENCODERS[codec]} )"
    )


def configured(factory, media, fps: int) -> None:
    sizes.append((media.get_element().get_by_name("size"), fps))


def command(channel, condition) -> bool:
    line = sys.stdin.readline()
    if not line:
        loop.quit()
        return False
    width, height = line.split()[1].split("x")
    for caps, fps in sizes:
        wanted = f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
        caps.set_property("caps", Gst.Caps.from_string(wanted))
    return True


parser = argparse.ArgumentParser()
parser.add_argument("port")
parser.add_argument("--user")
parser.add_argument("--password")
parser.add_argument("--codec", default="h264")
parser.add_argument("--size", default="320x240")
parser.add_argument("--fps", type=int, default=15)
parser.add_argument("--pattern", default="smpte")
parser.add_argument("--tls")
options = parser.parse_args()

Gst.init(None)
loop = GLib.MainLoop()
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=options.port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(launch(options.codec, options.size, options.fps, options.pattern))
factory.set_shared(True)
factory.connect("media-configure", configured, options.fps)
auth = GstRtspServer.RTSPAuth()
if options.tls:
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.tls))
    server.set_auth(auth)
    anybody = GstRtspServer.RTSPToken()
    anybody.set_string("media.factory.role", "anybody")
    auth.set_default_token(anybody)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("anybody", "media.factory.access", True)
    permissions.add_permission_for_role("anybody", "media.factory.construct", True)
    factory.set_permissions(permissions)
if options.user:
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    role = GstRtspServer.RTSPToken()
    role.set_string("media.factory.role", "user")
    auth.add_digest(options.user, options.password, role)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/cam", factory)
if not server.attach(None):
    sys.exit("cannot listen")
GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, command)
print("ready", flush=True)
loop.run()
