#!/bin/sh
# Installs the gateway as a service on a machine made for it, and looks whether it is one: see --help.
set -eu

show_help() {
    cat << 'HELP'
usage: deploy/systemd/try-service.sh [--storage DIR] [--without-socket] BUNDLE

Makes a Debian by debootstrap, boots its systemd as the first process of namespaces of its own (no network but loopback,
nothing of this machine in sight), installs BUNDLE there, a folder that deploy/airgap/collect.sh made, and drives it as an
operator would: the verbs, the service, its port while it is down, a kill, a new master key, a backup and its restore.
Prints each command with what it says, and ends with 1 at the first that is not as expected.

  --storage DIR       where the machine is made and kept (default: /var/lib/noojee-gateway-machine)
  --without-socket    do not try the socket unit

Needs root, cgroups, and from Debian: debootstrap iproute2. DEBIAN_MIRROR: the mirror that debootstrap takes.
HELP
}

fail() {
    echo "try-service.sh: $1" >&2
    exit "${2:-1}"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
storage=/var/lib/noojee-gateway-machine bundle='' socket=yes
while [ $# -gt 0 ]; do
    case $1 in
        --help) show_help; exit 0 ;;
        --storage) storage=${2:?}; shift ;;
        --without-socket) socket=no ;;
        -*) fail "$1 is not understood; see --help" 2 ;;
        *) [ -z "$bundle" ] || fail "one BUNDLE" 2; bundle=$1 ;;
    esac
    shift
done
[ -n "$bundle" ] || { show_help >&2; exit 2; }
[ -f "$bundle/install.sh" ] || fail "$bundle is no folder of collect.sh"
[ "$(id -u)" = 0 ] || fail "this needs root: it makes namespaces, and a machine in them"
for tool in debootstrap unshare nsenter ip; do
    command -v "$tool" > /dev/null || fail "there is no $tool here. On Debian: apt-get install debootstrap iproute2 util-linux"
done
root=$storage/machine
control=/sys/fs/cgroup
present='' outer='' first=''

# Runs a command and waits for it. Not in the foreground: a signal would be heard only when the command has ended.
run() {
    "$@" &
    present=$!
    wait "$present"
}

# Under another name until it is whole; and what debootstrap mounts and starts is gone when it is ended.
make_machine() {
    install -d -m 0755 "$storage"
    rm -rf "$root.new"
    # shellcheck disable=SC2086 # no mirror is no word
    run unshare --mount --pid --fork --mount-proc --kill-child debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,python3,python3-venv,curl,openssl,iproute2,procps bookworm "$root.new" ${DEBIAN_MIRROR:-}
    echo machine > "$root.new/etc/hostname"
    mv "$root.new" "$root"
}

clean_machine() {
    rm -rf "$root/root/bundle" "$root"/opt/noojee-gateway* "$root/etc/noojee-gateway" "$root/var/lib/noojee-gateway" \
        "$root/var/lib/simulator" "$root"/etc/systemd/system/noojee-gateway* "$root"/etc/systemd/system/*/noojee-gateway* \
        "$root"/var/lib/noojee-gateway* "$root/var/log/journal"
    cp -R "$bundle" "$root/root/bundle"
    cp "$here/try-inside.sh" "$root/root/try-inside.sh"
}

# The hierarchies that systemd needs, in which it sees our own group as the root.
enter_group() {
    for hierarchy in "$control" "$control/systemd" "$control/unified"; do
        if [ -f "$hierarchy/cgroup.procs" ]; then
            mkdir -p "$hierarchy/noojee-gateway-machine"
            echo 0 > "$hierarchy/noojee-gateway-machine/cgroup.procs" # 0: whoever writes it
        fi
    done
}

leave() {
    for process in $present $outer; do
        kill -KILL "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    done
    while [ -n "$first" ] && kill -0 "$first" 2> /dev/null; do sleep 0.1; done
    for hierarchy in "$control" "$control/systemd" "$control/unified"; do
        if [ -d "$hierarchy/noojee-gateway-machine" ]; then
            find "$hierarchy/noojee-gateway-machine" -depth -type d -exec rmdir {} + 2> /dev/null || true
        fi
    done
}

# The first process of the new namespaces: mounts what a machine has, and becomes its systemd.
# shellcheck disable=SC2016 # the inner shell's own
boot='
set -eu
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -f /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
for folder in run tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
mkdir -p was
pivot_root . was
# Shared, as on any machine: credentials are mounted elsewhere and moved into place.
exec chroot . sh -c "umount -l /was; mount --make-rshared /; ip link set lo up; export container=other; exec /lib/systemd/systemd"
'

trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
[ -d "$root" ] || make_machine
clean_machine
(enter_group && exec unshare --mount --pid --fork --net --uts --ipc --cgroup --kill-child sh -c "$boot" sh "$root" < /dev/null > "$storage/boot.log" 2>&1) &
outer=$!
until first=$(pgrep -P "$outer" -x systemd); do
    kill -0 "$outer" 2> /dev/null || { cat "$storage/boot.log" >&2; fail "the machine did not boot"; }
    sleep 0.1
done

# Becomes a command inside the machine, in its root folder: for a process of its own, which `run` and a pipe give.
enter() {
    exec nsenter --target "$first" --mount --pid --net --uts --ipc --cgroup --root --wd \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@"
}

until run enter systemctl is-system-running --wait > /dev/null 2>&1 || enter systemctl is-system-running 2> /dev/null | grep -q degraded; do sleep 0.2; done
run enter sh /root/try-inside.sh "$socket"
