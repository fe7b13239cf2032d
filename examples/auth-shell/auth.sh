#!/usr/bin/env bash
# An auth service for siomesh in a shell: whoever gives { auth: { token: "open sesame" } } may come in, with data and a room.
# It speaks the text protocol of NATS itself, so bash is all it takes. Run it in place of `siomesh auth`, never beside it:
#   auth.sh --nats nats://127.0.0.1:4222
set -euo pipefail
export LC_ALL=C # sizes are in bytes
[[ ${1:-} == --nats ]] && server=${2#nats://} || server=127.0.0.1:4222
exec 3<>"/dev/tcp/${server%:*}/${server##*:}"
printf 'CONNECT {"verbose":false,"name":"auth-shell"}\r\nSUB sio.v1.auth.connect auth 1\r\nSUB sio.v1.auth.handshake auth 2\r\nPING\r\n' >&3
while IFS=$' \r' read -r verb subject _ reply size _ <&3; do
  case $verb in
    PING) printf 'PONG\r\n' >&3 ;;
    PONG) echo "auth-shell: ready" ;;
    -ERR) echo "auth-shell: the server refused something" >&2; exit 1 ;;
    MSG)
      [[ $size ]] || { size=$reply reply=; }
      IFS= read -r -N "$size" request <&3
      read -r _ <&3
      [[ $reply ]] || continue # nobody waits for an answer
      answer='{"allow":false,"message":"say the magic words"}'
      [[ $request == *'"token":"open sesame"'* ]] && answer='{"allow":true,"user":"ali","data":{"cave":true},"rooms":["cave"]}'
      [[ $subject == *.handshake ]] && answer='{"allow":true,"headers":{"x-auth":"shell"}}' # every door leads to the cave
      printf 'PUB %s %d\r\n%s\r\n' "$reply" "${#answer}" "$answer" >&3 ;;
  esac
done
