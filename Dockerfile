# clairgen with its embedded llama.cpp server, exports and pages; no torch, so `train` only says what to install.
# Build: docker compose build
FROM python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/clairgen
WORKDIR /source
# The pinned packages first: they change seldom, and their layer is then built once.
COPY pyproject.toml README.md LICENSE ./
COPY lock lock
RUN mkdir clairgen && touch clairgen/__init__.py \
    && /opt/clairgen/bin/pip install --constraint lock/requirements.txt '.[data,local,report,serve,tokens]' \
    && /opt/clairgen/bin/pip uninstall --yes clairgen
COPY clairgen clairgen
COPY train/clairgen_train train/clairgen_train
COPY prompts prompts
COPY data data
RUN /opt/clairgen/bin/pip install --no-deps .

FROM python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254
# OpenMP is what llama.cpp's wheel takes from the system. Debian keeps only the newest version of a package, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 clairgen && install --directory --owner clairgen --group clairgen /runs
COPY --from=build /opt/clairgen /opt/clairgen
ENV PATH=/opt/clairgen/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/clairgen
# Run directories; a named volume made here belongs to the user.
VOLUME /runs
ENTRYPOINT ["clairgen"]
CMD ["--help"]
