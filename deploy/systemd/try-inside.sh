#!/bin/sh
# What try-service.sh does inside its machine, as root: an operator's first day, and some bad ones.
set -eu

socket=${1:-yes}
cd /root
calls=http://127.0.0.1:8080/servicemanager/rest/CallManagementAPI
data=/var/lib/noojee-gateway
python=/opt/noojee-gateway/bin/python

# Shows a command and what it says.
show() {
    echo "\$ $*"
    sh -c "$*" 2>&1 | cut -c 1-180 | sed 's/^/    /'
}

# Says what was looked at, and ends everything where it does not hold: expect WHAT COMMAND...
expect() {
    what=$1
    shift
    if "$@" > /dev/null 2>&1; then
        echo "    [ok] $what"
    else
        echo "    [NOT SO] $what"
        journalctl --no-pager --lines=20 --unit=noojee-gateway.service
        exit 1
    fi
}

call() {
    curl -sS --max-time 60 -X POST -H "Authorization: Bearer $(cat crm.token)" "$calls/$1"
}

# Noojee's own answers, and no refusal of the gateway.
serves() {
    [ "$(call 'start?extenOrUniqueId=410')" = '{"Message": "Recording started", "Code": 0}' ] \
        && [ "$(call 'stop?extenOrUniqueId=410')" = '{"Message": "Recording stopped", "Code": 0}' ]
}

wait_until() {
    for _ in $(seq 150); do
        "$@" > /dev/null 2>&1 && return 0
        sleep 0.2
    done
    return 1
}

exits_with() {
    code=$1
    shift
    actual=0
    "$@" > /dev/null 2>&1 || actual=$?
    [ "$actual" = "$code" ]
}

main_pid() {
    systemctl show --property=MainPID --value noojee-gateway.service
}

echo "== An installation without a network"
show './bundle/install.sh --service'
expect 'the master key is root'"'"'s alone' [ "$(stat -c '%U %a' /etc/noojee-gateway/master.key)" = 'root 600' ]

echo "== The verbs, as the service's user"
show 'noojee-gateway init'
show "ls -l $data"
expect 'no master key is among the data' [ ! -e $data/master.key ]
systemd-run --quiet --unit=simulator --uid=noojee-gateway --property=StateDirectory=simulator \
    --working-directory=/var/lib/simulator /opt/noojee-gateway/bin/noojee-gateway simulate --port 8443 --data-dir /var/lib/simulator/noojee
wait_until [ -s /var/lib/simulator/noojee/global.key ]
show 'noojee-gateway upstream add noojee --url https://127.0.0.1:8443 --ca-file /var/lib/simulator/noojee/ca.pem'
show 'noojee-gateway credential add everything --upstream noojee --kind global < /var/lib/simulator/noojee/global.key'
show 'noojee-gateway caller add crm --from 127.0.0.0/8'
show 'noojee-gateway grant add crm --credential everything --operations "CallManagementAPI/st*"'
show 'noojee-gateway export-config > gateway.toml; noojee-gateway apply -f - < gateway.toml'
expect 'a document of root'"'"'s is applied' sh -c 'noojee-gateway apply -f - < gateway.toml'
id alice > /dev/null 2>&1 || useradd alice
show "SUDO_UID=$(id -u alice) noojee-gateway caller set crm --burst 40; noojee-gateway audit tail -n 1"
expect 'the journal tells who called' sh -c 'noojee-gateway audit tail -n 1 | grep -qF "actor=noojee-gateway (for alice)"'
(umask 077 && noojee-gateway token issue crm > crm.token)
expect 'a token alone is on standard output' grep -Eqx 'njg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}' crm.token
expect 'a refusal ends with 1' exits_with 1 noojee-gateway explain crm CallManagementAPI/dial number=1 extenOrUniqueId=SIP/410
expect 'a wrong word ends with 2' exits_with 2 noojee-gateway caller sing

echo "== The service"
units='noojee-gateway.socket noojee-gateway.service'
if [ "$socket" = yes ]; then
    show 'systemctl enable --now noojee-gateway.socket noojee-gateway.service'
else
    sed -i '/^Requires=noojee-gateway.socket/d; s/^After=noojee-gateway.socket /After=/; /^Also=/d' /etc/systemd/system/noojee-gateway.service
    systemctl daemon-reload
    units=noojee-gateway.service
    show 'systemctl enable --now noojee-gateway.service'
fi
wait_until serves
expect 'it serves a call' serves
show 'systemctl status --no-pager noojee-gateway.service | head -12'
show 'systemd-analyze security --no-pager noojee-gateway.service | tail -1'
show "grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$(main_pid)/status"
expect 'no other user reads its data' exits_with 1 su nobody -s /bin/sh -c "test -r $data"
expect 'the service itself cannot read the file of the master key' exits_with 1 su noojee-gateway -s /bin/sh -c 'test -r /etc/noojee-gateway/master.key'
show 'curl -sS http://127.0.0.1:8081/readyz'

if [ "$socket" = yes ]; then
    echo "== The port while the service is down"
    show 'systemctl stop noojee-gateway.service 2>&1; systemctl is-active noojee-gateway.service noojee-gateway.socket'
    expect 'nobody else can take the port' exits_with 1 "$python" -c 'import socket; socket.create_server(("127.0.0.1", 8080))'
    expect 'whoever calls is answered as soon as the service is back, which the call brings about' serves
    show 'systemctl is-active noojee-gateway.service'
fi

echo "== Another worker, and a reload, while it serves"
before=$(main_pid)
show 'noojee-gateway restart'
expect 'the new worker serves a call' serves
show 'systemctl reload noojee-gateway.service && systemctl is-active noojee-gateway.service'
expect 'it serves after the reload' serves
expect 'the service is the same process' [ "$before" = "$(main_pid)" ]

echo "== A kill"
kill -KILL "$(main_pid)"
expect 'it is back, and serves' wait_until serves

echo "== A new version of the master key, added where the file is kept"
show 'umask 077; cd /etc/noojee-gateway; { cat master.key; printf "2 "; openssl rand -base64 32; } > master.key.new && sync master.key.new && mv master.key.new master.key'
show 'systemctl restart noojee-gateway.service'
wait_until serves
show 'noojee-gateway master-key rotate'
expect 'it serves with the keys that were sealed anew' serves

echo "== A backup while it serves, a lost data folder, and the restore"
show 'systemctl start noojee-gateway-backup.service && ls /var/lib/noojee-gateway-backups'
backup=$(echo /var/lib/noojee-gateway-backups/2*)
expect 'the backup has no master key' exits_with 1 grep -rqF "$(tail -n 1 /etc/noojee-gateway/master.key | cut -d ' ' -f 2)" "$backup"
show 'systemctl stop noojee-gateway.socket noojee-gateway.service 2>&1'
mv $data $data.lost
show "$python /opt/noojee-gateway/backup/restore.py --owner noojee-gateway $backup $data"
show 'noojee-gateway audit verify'
show "systemctl start $units"
wait_until serves
expect 'the same token serves from what was restored' serves
show 'noojee-gateway audit tail -n 2'
show 'systemctl stop noojee-gateway.service 2>&1; systemctl show --property=Result,ExecMainStatus noojee-gateway.service'
echo "The service serves."
