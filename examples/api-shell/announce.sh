#!/usr/bin/env bash
# Announces something to the clients of siomesh, wherever they are connected, from a shell:
#   announce.sh [--nats nats://127.0.0.1:4222] [--namespace /] TEXT
# They get the event "announcement" with the text. It speaks the text protocol of NATS itself, so bash is all it takes; with the
# tool `nats` at hand, it is: nats req sio.v1.api.emit '{"event":"announcement","args":["TEXT"]}'
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set/s/^# *//p' "$0" # what stands above
  exit
fi
export LC_ALL=C # sizes are in bytes
server=127.0.0.1:4222 namespace=/
[[ ${1:-} == --nats ]] && server=${2#nats://} && shift 2
[[ ${1:-} == --namespace ]] && namespace=$2 && shift 2
exec 3<>"/dev/tcp/${server%:*}/${server##*:}"
printf 'CONNECT {"verbose":false,"name":"api-shell"}\r\n' >&3

requests=0
request() { # request VERB JSON: puts the answer into $answer
  local verb subject size inbox=_INBOX.$$.$RANDOM$RANDOM$RANDOM
  requests=$((requests + 1))
  printf 'SUB %s %d\r\nUNSUB %d 1\r\nPUB sio.v1.api.%s %s %d\r\n%s\r\n' \
    "$inbox" "$requests" "$requests" "$1" "$inbox" "${#2}" "$2" >&3
  while IFS=$' \r' read -r -t 5 verb subject _ size _ <&3; do # the API itself gives up after 4 s
    case $verb in
      PING) printf 'PONG\r\n' >&3 ;;
      -ERR) echo "the NATS server refused something" >&2; exit 1 ;;
      MSG)
        IFS= read -r -N "$size" answer <&3
        read -r _ <&3
        [[ $subject == "$inbox" && $answer != '{"error":'* ]] && return
        echo "$answer" >&2 # {"error":{"code":"…","message":"…"}}
        exit 1 ;;
    esac
  done
  echo "nobody answers" >&2
  exit 1
}

quote() { # quote TEXT: prints it as a JSON string
  local text=$1
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\t'/\\t}
  printf '"%s"' "${text//[[:cntrl:]]/ }"
}

to="\"namespace\":$(quote "$namespace")"
request count "{$to}"
count=${answer//[^0-9]/}
request emit "{$to,\"event\":\"announcement\",\"args\":[$(quote "$*")]}"
echo "announced to $count clients"
