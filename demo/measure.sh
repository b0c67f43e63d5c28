#!/bin/sh
# A shell script that reports through the command line: how large the folders below /usr are.
set -eu

set -- /usr/*/
run=$(headway report create --name "Measure folders" --type task --total $# --unit folders --project demo --group demo)
trap 'headway report cancel "$run"; exit 130' INT TERM

done=0
for folder; do
    size=$(du -sh "$folder" 2>/dev/null | cut -f1) || true
    done=$((done + 1))
    headway report update "$run" --current "$done" --line "$folder $size"
done
headway report done "$run" --summary "$done folders measured"
