# The gateway from hash-locked requirements, run by a user without rights on a root file system that is only read.
#
#   docker build .                                            wheels from the package index
#   docker build --build-arg PIP_INDEX_URL=https://... .      from a mirror of it; a password in there would stay in the build's cache
#   docker build --build-arg WHEEL_FOLDER=wheels .            from what deploy/airgap/collect.sh put into wheels/, without a network
#   docker build --build-arg BASE_IMAGE=...@sha256:... .      on a base of your own registry, pinned by its digest
#
# docker-compose.yml shows how the image is meant to be run; without an engine see deploy/build-without-docker.sh.

ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_CERT
# `requirements` stands for no wheels at all: a folder has to be copied, and this one is always there.
ARG WHEEL_FOLDER=requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_FIND_LINKS=/wheels
WORKDIR /source
COPY ${WHEEL_FOLDER} /wheels/
RUN if [ "$WHEEL_FOLDER" != requirements ]; then printf '[global]\nno-index = true\n' > /etc/pip.conf; fi
COPY requirements requirements
# What builds stays behind in this stage: the pip and the build back end of /opt/build.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary=:all: --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/noojee-gateway \
 && /opt/build/bin/pip --python /opt/noojee-gateway/bin/python install --require-hashes --only-binary=:all: --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /built . \
 && /opt/build/bin/pip --python /opt/noojee-gateway/bin/python install --no-deps --no-index /built/*.whl
COPY deploy/container/healthcheck.py /opt/noojee-gateway/healthcheck.py

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="noojee-gateway" \
      org.opencontainers.image.description="A self-hosted authenticating gateway before the REST API of Noojee Contact, with an audit journal" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that volumes keep their owner; fresh volumes take theirs and their modes from here. The journal is
# no VOLUME of its own: where only the data were mounted, it would end with the container.
RUN groupadd --gid 10001 noojee-gateway \
 && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/noojee-gateway --shell /usr/sbin/nologin noojee-gateway \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/noojee-gateway /var/lib/noojee-gateway/journal
COPY --from=build /opt/noojee-gateway /opt/noojee-gateway
ENV PATH=/opt/noojee-gateway/bin:$PATH GATEWAY_DATA_DIR=/var/lib/noojee-gateway PYTHONDONTWRITEBYTECODE=1
# As numbers: Kubernetes cannot tell of a name whether it is root's.
USER 10001:10001
VOLUME /var/lib/noojee-gateway
EXPOSE 8080 8081
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["/opt/noojee-gateway/bin/python", "-P", "/opt/noojee-gateway/healthcheck.py"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["noojee-gateway"]
CMD ["serve"]
