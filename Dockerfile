# The gateway from hash-locked requirements, run by a user without rights.
# The image is not hardened yet; docker-compose.yml shows how it is meant to be run.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY requirements requirements
RUN python -m venv /opt/noojee-gateway \
 && /opt/noojee-gateway/bin/pip install --require-hashes --only-binary=:all: --requirement requirements/run.txt
# The build back end comes from the locks too; it stays behind in this stage.
RUN pip install --require-hashes --only-binary=:all: --requirement requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/noojee-gateway/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.11.14-slim-bookworm
# A fixed number, so that a volume keeps its owner; the mode holds for a fresh volume, which takes it from here.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin noojee-gateway \
 && install --directory --owner=noojee-gateway --mode=0700 /var/lib/noojee-gateway
COPY --from=build /opt/noojee-gateway /opt/noojee-gateway
ENV PATH=/opt/noojee-gateway/bin:$PATH GATEWAY_DATA_DIR=/var/lib/noojee-gateway
USER noojee-gateway
VOLUME /var/lib/noojee-gateway
EXPOSE 8080
ENTRYPOINT ["noojee-gateway"]
CMD ["serve"]
