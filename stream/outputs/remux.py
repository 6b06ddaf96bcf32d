"""`python -m stream.outputs.remux FORM`: a film on the standard input to a URL, its first line.

A process of its own: FFmpeg's muxers hold the interpreter's lock while they connect and send, and a slow
media server would stop everything else. The URL comes by the pipe, for it may hold credentials that a
process list would show. Says `SENDING` when the server has taken the first packet. Ends with status 0 at
the end of its input; else with one line of why.
"""

from __future__ import annotations

import sys

import av
from av.container import InputContainer, OutputContainer

from stream.outputs.srt import SrtSink

FORMS = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "srt": ("mpegts", {"flush_packets": "1"}),
}
PIPE = "matroska"
SECONDS = 10.0
SENDING = "sending"


def remux(source: InputContainer, sink: OutputContainer) -> None:
    """Copy every video packet."""
    video = source.streams.video[0]
    copy = sink.add_stream_from_template(video)
    packets = (packet for packet in source.demux(video) if packet.dts is not None)
    for index, packet in enumerate(packets):
        packet.stream = copy
        sink.mux(packet)
        if index == 0:  # which connects
            print(SENDING, flush=True)


def main() -> int:
    url = sys.stdin.buffer.readline().decode().strip()
    form, options = FORMS[url.partition(":")[0]]
    try:
        with av.open(
            sys.stdin.buffer, "r", format=PIPE, options={"analyzeduration": "0", "fflags": "nobuffer"}
        ) as source:
            target = SrtSink(url) if url.startswith("srt:") else url
            with av.open(target, "w", format=form, options=options, timeout=SECONDS) as sink:
                remux(source, sink)
    except (av.FFmpegError, OSError) as error:
        print(getattr(error, "strerror", None) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
