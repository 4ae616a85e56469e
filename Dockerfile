# kerascnn as a command, for CPUs and for GPUs:
#   docker build --target cpu -t kerascnn .
#   docker build --target cuda -t kerascnn:cuda .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" kerascnn train lenet5
# `cuda` also needs `--gpus all` and the NVIDIA container toolkit: CUDA's libraries are inside.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY kerascnn ./kerascnn
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS base
# A run directory is made in /work; the user is nobody in particular, whose home is for caches.
ENV HOME=/tmp/home \
    KERASCNN_CACHE=/tmp/home/kerascnn \
    MPLCONFIGDIR=/tmp/home/matplotlib \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --home-dir /tmp/home --uid 1000 kerascnn \
    && chmod 1777 /tmp/home \
    && mkdir /work \
    && chown kerascnn /work
WORKDIR /work
ENTRYPOINT ["kerascnn"]
CMD ["--help"]

FROM base AS cuda
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/kerascnn-*.whl)[cuda,weights]"
USER 1000

# The last stage is what is built without --target.
FROM base AS cpu
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/kerascnn-*.whl)[weights]"
USER 1000
