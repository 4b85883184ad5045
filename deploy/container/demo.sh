#!/bin/sh
# The demo of docker-compose.yml: a simulated Noojee and a gateway before it, in one container, and lines to try it with.
#
# `noojee-gateway demo` does the same on 127.0.0.1 alone, where nobody outside of a container gets to.
set -eu

url=${DEMO_URL:-http://127.0.0.1:8080}
folder=$(mktemp -d)
noojee=$folder/noojee

noojee-gateway simulate --data-dir "$noojee" > "$folder/ready" &
simulator=$!
until [ -s "$folder/ready" ]; do
    kill -0 "$simulator" 2> /dev/null || { echo "the simulated Noojee did not start" >&2; exit 1; }
    sleep 0.1
done
noojee_url=$(sed -n 's/^ready url=\([^ ]*\) .*/\1/p' "$folder/ready")

noojee-gateway init > /dev/null
noojee-gateway upstream add noojee --url "$noojee_url" --ca-file "$noojee/ca.pem" > /dev/null
noojee-gateway credential add everything --upstream noojee --kind global < "$noojee/global.key" > /dev/null
noojee-gateway caller add demo > /dev/null
noojee-gateway grant add demo --credential everything \
    --operations CallManagementAPI/start --operations CallManagementAPI/stop > /dev/null
token=$(noojee-gateway token issue demo)

api=$url/servicemanager/rest/CallManagementAPI
cat << LINES
A token, which is worth nothing once the demo has ended:
$token
Start the recording of extension 410, stop it, and try what was not granted, in another terminal of this machine:
curl -i -X POST -H 'Authorization: Bearer $token' '$api/start?extenOrUniqueId=410'
curl -i -X POST -H 'Authorization: Bearer $token' '$api/stop?extenOrUniqueId=410'
curl -i -X POST -H 'Authorization: Bearer $token' '$api/dial?number=0412345678&extenOrUniqueId=SIP/410'
All three on the journal, in the folder of docker-compose.yml:
docker compose --profile demo exec demo noojee-gateway audit tail
LINES

exec noojee-gateway serve
