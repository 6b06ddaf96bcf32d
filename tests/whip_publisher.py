"""FFmpeg's WHIP publisher, through PyAV: `whip_publisher.py URL TOKEN FRAMES [CERTIFICATE KEY]`.

A process of its own, because FFmpeg connects while it holds the interpreter's lock. The certificate must be
on P-256: the one that FFmpeg would make by itself fails the handshake. Prints "sent N" before it leaves.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np

url, token, count, *files = sys.argv[1:]
options = {"authorization": token, **dict(zip(("cert_file", "key_file"), files, strict=False))}
sent = 0
with av.open(url, "w", format="whip", options=options) as container:
    stream = container.add_stream("libx264", rate=15, options={"preset": "ultrafast", "tune": "zerolatency"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.codec_context.profile = "Baseline"
    stream.codec_context.gop_size = 15
    stream.codec_context.max_b_frames = 0
    stream.time_base = Fraction(1, 15)
    started = time.monotonic()
    for index in range(int(count)):
        picture = np.full((240, 320, 3), 90, np.uint8)
        picture[60:180, 40 + index : 140 + index] = (220, 180, 60)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        container.mux(stream.encode(frame))
        sent += 1
        time.sleep(max(0.0, started + index / 15 - time.monotonic()))
    print(f"sent {sent}", flush=True)
