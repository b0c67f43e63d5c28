#!/bin/sh
# Nothing but curl: counts the lines of the headers, configuration and documents of this machine.
set -eu
url=${HEADWAY_URL:-http://127.0.0.1:14323}/api/processes

if [ -z "${HEADWAY_KEY:-}" ] && [ -r "${HEADWAY_KEY_FILE:-}" ]; then HEADWAY_KEY=$(cat "$HEADWAY_KEY_FILE"); fi

send() { # METHOD ADDRESS JSON
    if [ -n "${HEADWAY_KEY:-}" ]; then set -- "$@" -H "Authorization: Bearer $HEADWAY_KEY"; fi
    method=$1 address=$2 json=$3
    shift 3
    curl -sS --fail-with-body -X "$method" "$address" -H 'Content-Type: application/json' -d "$json" "$@"
}

set -- /etc /usr/include /usr/share/doc /usr/share/perl /usr/lib/python3
id=$(send POST "$url" '{"name": "Count lines", "type": "task", "progress": {"total": '$#', "unit": "folders"},
    "project": "demo", "group": "demo"}' | sed 's/.*"id" *: *"\([^"]*\)".*/\1/')
trap 'send PATCH "$url/$id" "{\"status\": \"cancelled\"}" >/dev/null; exit 130' INT TERM

done=0 all=0
for folder; do
    lines=$(find "$folder" -type f -exec cat {} + 2>/dev/null | wc -l)
    done=$((done + 1)) all=$((all + lines))
    # An exporter that is away misses a line and no more; the next report says how far it is.
    send PATCH "$url/$id" '{"progress": {"current": '$done'}, "log": "'"$folder $lines"' lines"}' >/dev/null || true
done
# The end is what counts: it waits two minutes for an exporter that is away.
tries=60
until send PATCH "$url/$id" '{"progress": {"current": '$done'}, "status": "done", "summary": "'$all' lines"}' >/dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || exit 1
    sleep 2
done
