# A server of plans and SavedModels (docs/serving.md), from this tree:
#
#   docker build -t graft .
#   docker run -p 8080:8080 -p 8081:8081 -v $PWD/models:/models:ro graft --model NAME=/models/model.plan
FROM debian:12-slim AS build
WORKDIR /graft
# Packages and the environment change seldom: they have layers of their own.
COPY tools/setup.sh tools/debian-packages.txt tools/
COPY requirements.txt .
RUN tools/setup.sh
COPY . .
RUN .venv/bin/python -m pip wheel . --no-cache-dir --no-deps --wheel-dir /wheels \
    -C cmake.define.GRAFT_VENV=/graft/.venv

FROM debian:12-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# TensorFlow serves SavedModels; a server of plans alone does without: docker build --build-arg EXTRAS=serving
ARG EXTRAS=serving,tensorflow
RUN python3 -m venv /opt/graft \
    && /opt/graft/bin/pip install --no-cache-dir "$(echo /wheels/*.whl)[$EXTRAS]"
RUN useradd --uid 10001 --create-home graft
USER 10001
EXPOSE 8080 8081
ENTRYPOINT ["/opt/graft/bin/python", "-m", "graft.serving"]
