#!/bin/sh
# Installs the gateway from the folder in which this file is, without a network: see --help.
set -eu

show_help() {
    cat << 'HELP'
usage: install.sh [--checksum SHA256] [--prefix DIR] [--python PYTHON] [--service]

Checks every file of this folder against SHA256SUMS, then installs the gateway from it and from nowhere else, into
PREFIX-VERSION; PREFIX becomes a link to it. An older version stays beside it: to go back, point the link there.

  --checksum SHA256   what collect.sh printed last: the checksum of SHA256SUMS, carried over by another way
  --prefix DIR        where (default: /opt/noojee-gateway, which is what the units name)
  --python PYTHON     the Python to run on (default: python3), 3.11 or newer; on Debian with the package python3-venv
  --service           also the user, the units, the settings and the command of a service of systemd; and a master key,
                      if there is none. Starts nothing. Needs root.
HELP
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
checksum='' prefix=/opt/noojee-gateway python=python3 service=''
while [ $# -gt 0 ]; do
    case $1 in
        --help) show_help; exit 0 ;;
        --checksum) checksum=${2:?}; shift ;;
        --prefix) prefix=${2:?}; shift ;;
        --python) python=${2:?}; shift ;;
        --service) service=yes ;;
        *) fail "$1 is not understood; see --help" 2 ;;
    esac
    shift
done
[ -z "$service" ] || [ "$(id -u)" = 0 ] || fail "--service needs root"
cd "$here"
umask 022

check_files() {
    if [ -n "$checksum" ] && [ "$(sha256sum < SHA256SUMS | cut -d ' ' -f 1)" != "$checksum" ]; then
        fail "SHA256SUMS has another checksum. Something was changed on the way: nothing was installed."
    fi
    sha256sum --check --strict --quiet SHA256SUMS || fail "a file is missing or was changed: nothing was installed."
    found=$(find . -type f ! -name SHA256SUMS -print | LC_ALL=C sort)
    listed=$(sed 's/^[0-9a-f]* [ *]//' SHA256SUMS | LC_ALL=C sort)
    [ "$found" = "$listed" ] || fail "there are files here that SHA256SUMS does not name: nothing was installed."
}

install_package() {
    wheel=$(echo noojee_gateway-*-py3-none-any.whl)
    [ -f "$wheel" ] || fail "there is not exactly one wheel of noojee-gateway here."
    version=${wheel#noojee_gateway-}
    version=${version%-py3-none-any.whl}
    target=$prefix-$version
    [ ! -e "$target" ] || fail "$target is there already; remove it to install it anew."
    [ -L "$prefix" ] || [ ! -e "$prefix" ] || fail "$prefix is there and no link; move it away."
    trap 'rm -rf "$target"' EXIT
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed; name it with --python"
    "$python" -m venv "$target"
    # --isolated: no index, no folder and no proxy from the environment or a file may have a say.
    "$target/bin/python" -m pip --isolated --quiet --disable-pip-version-check install --no-index --find-links . \
        --only-binary=:all: --require-hashes --requirement run.txt
    "$target/bin/python" -m pip --isolated --quiet --disable-pip-version-check install --no-index --no-deps "./$wheel"
    [ ! -d backup ] || cp -R backup "$target/"
    "$target/bin/noojee-gateway" --version
    trap - EXIT
    ln -sfn "$target" "$prefix"
}

install_service() {
    install -m 0644 systemd/noojee-gateway.sysusers /usr/lib/sysusers.d/noojee-gateway.conf
    systemd-sysusers noojee-gateway.conf
    install -m 0644 systemd/*.service systemd/*.socket systemd/*.timer /etc/systemd/system/
    install -m 0755 systemd/noojee-gateway /usr/local/bin/noojee-gateway
    install -d -m 0755 /etc/noojee-gateway
    [ -e /etc/noojee-gateway/gateway.env ] || install -m 0644 systemd/gateway.env /etc/noojee-gateway/gateway.env
    if [ -e /etc/noojee-gateway/master.key ]; then
        :
    elif [ -e /var/lib/noojee-gateway/audit.key ]; then
        fail "there are data, but no /etc/noojee-gateway/master.key: restore it from your backup, a new one opens nothing."
    else
        (umask 077 && "$python" -c 'import base64, secrets; print(1, base64.b64encode(secrets.token_bytes(32)).decode())' \
            > /etc/noojee-gateway/master.key.new)
        mv /etc/noojee-gateway/master.key.new /etc/noojee-gateway/master.key
        echo "A master key was made. Keep a copy of /etc/noojee-gateway/master.key away from this machine."
    fi
    systemctl daemon-reload
    echo "Next: noojee-gateway init, then systemctl enable --now noojee-gateway.socket noojee-gateway.service"
}

check_files
install_package
[ -z "$service" ] || install_service
echo "Installed in $prefix."
