#!/bin/sh
# Builds the image where no Docker engine runs, with Debian's buildah: see --help.
set -eu

show_help() {
    cat << 'HELP'
usage: deploy/build-without-docker.sh [options] base|build|try

Builds the Dockerfile with buildah (chroot isolation, storage driver vfs), which needs no engine and no registry of
images. For a machine that cannot have an engine, and to prove the Dockerfile where none runs.

  base     a base image from Debian's packages (debootstrap), under the name that the Dockerfile's FROM gives. It stands
           for python:3.11-slim: the same Debian, with Debian's own Python 3.11.
  build    the image, as localhost/noojee-gateway
  try      run it as docker-compose.yml would (read-only root, no capability, user 10001) and drive calls through it

options:
  --storage DIR    where images are kept (default: /var/lib/noojee-gateway-build)
  --wheels DIR     build without an index, from a folder that deploy/airgap/collect.sh made; DIR is in the repository
  --ca-file FILE   a CA (PEM) that the base image trusts, where the index stands behind a proxy of your own
  --suite NAME     Debian's suite for the base (default: bookworm)

environment: DEBIAN_MIRROR, the mirror that debootstrap takes (default: debootstrap's own); PIP_INDEX_URL, the index.

Needs root, and from Debian: buildah debootstrap; for `try` also runc and iproute2.
HELP
}

fail() {
    echo "build-without-docker.sh: $1" >&2
    exit "${2:-1}"
}

need() {
    for tool; do
        command -v "$tool" > /dev/null || fail "there is no $tool here. On Debian: apt-get install buildah debootstrap runc iproute2"
    done
}

repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
storage=/var/lib/noojee-gateway-build
wheels='' ca_file='' suite=bookworm step=''
while [ $# -gt 0 ]; do
    case $1 in
        --help) show_help; exit 0 ;;
        --storage) storage=${2:?}; shift ;;
        --wheels) wheels=${2:?}; shift ;;
        --ca-file) ca_file=${2:?}; shift ;;
        --suite) suite=${2:?}; shift ;;
        base | build | try) [ -z "$step" ] || fail "one of base, build and try at a time" 2; step=$1 ;;
        *) fail "$1 is not understood; see --help" 2 ;;
    esac
    shift
done
[ -n "$step" ] || { show_help >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "this needs root: buildah's chroot isolation mounts and changes users"
need buildah

base_image=$(sed -n 's/^ARG BASE_IMAGE=//p' "$repository/Dockerfile")
image=localhost/noojee-gateway
install -d -m 0700 "$storage"

run_buildah() {
    buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run" "$@"
}

make_base() {
    need debootstrap
    root=$(mktemp -d -p "$storage" base.XXXXXX)
    trap 'rm -rf "$root"' EXIT
    # shellcheck disable=SC2086 # no mirror is no word
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" ${DEBIAN_MIRROR:-}
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    if [ -n "$ca_file" ]; then
        install -m 0644 "$ca_file" "$root/usr/local/share/ca-certificates/own.crt"
        chroot "$root" update-ca-certificates
    fi
    container=$(run_buildah from scratch)
    run_buildah add "$container" "$root" /
    run_buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
    run_buildah commit --rm "$container" "docker.io/library/$base_image"
}

build_image() {
    # `docker` and not `oci`: only that format has a HEALTHCHECK.
    set -- bud --isolation chroot --pull=false --format docker --tag "$image"
    [ -z "$wheels" ] || set -- "$@" --build-arg "WHEEL_FOLDER=$wheels"
    [ -z "${PIP_INDEX_URL:-}" ] || set -- "$@" --build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"
    [ -z "$ca_file" ] || set -- "$@" --build-arg PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    # The name is resolved in our own storage: FROM must find what `base` made, and nothing else.
    run_buildah images --quiet "docker.io/library/$base_image" > /dev/null 2>&1 || fail "there is no base image yet: run \`$0 base\` first"
    run_buildah "$@" --build-arg "BASE_IMAGE=docker.io/library/$base_image" "$repository"
}

try_image() {
    need runc ip python3
    work=$(mktemp -d -p "$storage" try.XXXXXX)
    container=$(run_buildah from --pull=false "$image")
    trap 'run_buildah rm "$container" > /dev/null; rm -rf "$work"' EXIT
    run_buildah inspect --type image "$image" > "$work/image.json"
    root=$(run_buildah mount "$container")
    # A network of its own with nothing but loopback: what is tried reaches nobody, and no port of the machine is taken.
    unshare --net sh -c 'ip link set lo up && exec python3 "$@"' sh "$repository/deploy/container/try_image.py" \
        --root "$root" --image "$work/image.json" --work "$work"
}

case $step in
    base) make_base ;;
    build) build_image ;;
    try) try_image ;;
esac
