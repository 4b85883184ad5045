#!/bin/sh
# Collects what installs the gateway on a machine without a network: see --help.
set -eu

show_help() {
    cat << 'HELP'
usage: deploy/airgap/collect.sh [--output DIR] [--python PYTHON] [--for-python 3.N] [--platform TAG]...

Run on a machine with a package index, from a checkout of the release: puts the wheels of requirements/run.txt (each held
to its hashes), the gateway's own wheel, the installer, the units, the backup's scripts and an example of a firewall into
a folder, with SHA256SUMS over all of them.
Carry the folder over, and by another way the checksum that is printed last; then run install.sh in it.

  --output DIR       a folder that does not exist yet (default: wheels, which the Dockerfile's WHEEL_FOLDER takes too)
  --python PYTHON    the Python to do it with (default: python3), 3.11 or newer
  --for-python 3.N   wheels for another Python than this one, as on the machine without a network
  --platform TAG     wheels for another platform, as manylinux_2_28_x86_64; repeatable; needs --for-python

The index is the one that pip finds (PIP_INDEX_URL, pip.conf).
HELP
}

fail() {
    echo "collect.sh: $1" >&2
    exit "${2:-1}"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repository=$(CDPATH='' cd -- "$here/../.." && pwd)
output=wheels python=python3 for_python='' platforms=''
while [ $# -gt 0 ]; do
    case $1 in
        --help) show_help; exit 0 ;;
        --output) output=${2:?}; shift ;;
        --python) python=${2:?}; shift ;;
        --for-python) for_python=${2:?}; shift ;;
        --platform) platforms="$platforms --platform ${2:?}"; shift ;;
        *) fail "$1 is not understood; see --help" 2 ;;
    esac
    shift
done
[ ! -e "$output" ] || fail "$output is there already; name another with --output, or remove it"
[ -z "$platforms" ] || [ -n "$for_python" ] || fail "--platform needs --for-python" 2
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/build"
pip=$work/build/bin/pip
# shellcheck disable=SC2086 # several words, made above
"$pip" download --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --dest "$work/bundle" \
    ${for_python:+--python-version "$for_python"} $platforms --requirement "$repository/requirements/run.txt"
# What our own wheel is made with is for any platform, and goes along for those who build the image offline.
"$pip" download --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --dest "$work/bundle" \
    --requirement "$repository/requirements/build.txt"
"$pip" install --quiet --disable-pip-version-check --no-index --find-links "$work/bundle" --require-hashes \
    --requirement "$repository/requirements/build.txt"
"$pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --wheel-dir "$work/bundle" "$repository"

install -m 0644 "$repository/requirements/run.txt" "$work/bundle/"
install -m 0755 "$here/install.sh" "$work/bundle/"
cp -R "$repository/deploy/systemd" "$repository/deploy/backup" "$repository/deploy/nftables" "$work/bundle/"
(cd "$work/bundle" && find . -type f ! -name SHA256SUMS -print | LC_ALL=C sort | xargs sha256sum > "$work/SHA256SUMS")
mv "$work/SHA256SUMS" "$work/bundle/SHA256SUMS"
cp -R "$work/bundle" "$output"

echo "$output: $(find "$output" -name '*.whl' | wc -l) wheels. Carry it over; its checksum, by another way:"
sha256sum < "$output/SHA256SUMS" | cut -d ' ' -f 1
