# Two images. `clairgen`: the commands and the service, with the embedded llama.cpp server, exports, pages and metrics; no torch, so
# `train` only says what to install. `clairgen-train`: the same with torch, several times as large.
# Build: docker compose build, or docker build --target clairgen-train .
FROM python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254 AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/clairgen
WORKDIR /source
# The pinned packages first: they change seldom, and their layers are then built once.
COPY pyproject.toml README.md LICENSE ./
COPY lock lock
RUN mkdir clairgen && touch clairgen/__init__.py \
    && /opt/clairgen/bin/pip install --constraint lock/requirements.txt '.[analysis,copies,data,local,otel,report,serve,tokens]' \
    && /opt/clairgen/bin/pip uninstall --yes clairgen

FROM packages AS packages-train
RUN /opt/clairgen/bin/pip install --constraint lock/requirements.txt '.[qlora,train]' \
    && /opt/clairgen/bin/pip uninstall --yes clairgen

FROM packages AS wheel
COPY clairgen clairgen
COPY train/clairgen_train train/clairgen_train
COPY prompts prompts
COPY data data
RUN /opt/clairgen/bin/pip wheel --no-deps --wheel-dir /wheel .

FROM packages AS installed
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel /opt/clairgen/bin/pip install --no-deps /wheel/*.whl

FROM packages-train AS installed-train
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel /opt/clairgen/bin/pip install --no-deps /wheel/*.whl

FROM python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254 AS base
# OpenMP is what llama.cpp's wheel takes from the system. Debian keeps only the newest version of a package, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 clairgen && install --directory --owner clairgen --group clairgen /runs /cache
# All that is written lies under /runs and /cache, or in /tmp and the home, which may be in memory.
ENV PATH=/opt/clairgen/bin:$PATH PYTHONUNBUFFERED=1 HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache TRITON_CACHE_DIR=/cache/triton \
    TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor
USER 10001
WORKDIR /home/clairgen
# Run directories, and models from the hub; named volumes made here belong to the user.
VOLUME ["/runs", "/cache"]
EXPOSE 8321
ENTRYPOINT ["clairgen"]
CMD ["--help"]

FROM base AS clairgen-train
COPY --from=installed-train /opt/clairgen /opt/clairgen

FROM base AS clairgen
COPY --from=installed /opt/clairgen /opt/clairgen
