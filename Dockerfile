# Livemask for CPU (default) or CUDA:  docker build --build-arg TORCH=cuda -t livemask .
# The CUDA build needs the NVIDIA container toolkit on the host and `docker run --gpus all` (or compose.cuda.yaml).
FROM python:3.12-slim-bookworm AS build
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/livemask
ENV PATH=/opt/livemask/bin:$PATH
COPY constraints.txt ./
RUN pip install -c constraints.txt setuptools wheel \
 && pip install -c constraints.txt torch==2.13.0 torchvision==0.28.0 \
    $([ "$TORCH" = cpu ] && echo --extra-index-url https://download.pytorch.org/whl/cpu) \
 && SAM2_BUILD_CUDA=0 pip install -c constraints.txt --no-build-isolation sam2==1.1.0
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY stream stream
COPY signaling signaling
COPY web web
RUN pip install -c constraints.txt --no-build-isolation .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/livemask /opt/livemask
ENV PATH=/opt/livemask/bin:$PATH \
    LIVEMASK_HOST=0.0.0.0 \
    HF_HOME=/data/huggingface \
    XDG_DATA_HOME=/data \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
# SRT, which PyAV's FFmpeg is built without.
RUN apt-get update && apt-get install -y --no-install-recommends libsrt1.5-openssl && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 livemask && install -d -o livemask /data /data/recordings /data/media
USER livemask
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s --timeout=3s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('LIVEMASK_PORT', '8000')}/health\", timeout=2)"]
CMD ["livemask", "serve"]
