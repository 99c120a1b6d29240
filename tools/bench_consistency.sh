#!/bin/sh
# Measures consistency on made prediction files: the least of 5 times of each, in turn; beside it, where python3 has numpy ($PYTHON
# names another), a script that computes the four numbers alone. "large" makes 1,000 files of 10,000 examples too (0.8 GB).
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -c 'import numpy' 2>/dev/null || python=

now() { date +%s%N; }
# seconds COMMAND...: prints them in units of 0.1 ms
seconds() {
    begin=$(now)
    "$@" >/dev/null 2>&1
    echo $((($(now) - begin) / 100000))
}
measure() { # NAME RUNS EXAMPLES [logits]
    "${BUILD:-build}/make_preds" "$folder/$1" "$2" "$3" 2 ${4:-}
    least_text=999999 least_json=999999 least_peer=999999
    for _ in 1 2 3 4 5; do
        t=$(seconds "${PROGRAMS:-.}/consistency" "$folder/$1"/*.bin)
        [ "$t" -ge "$least_text" ] || least_text=$t
        t=$(seconds "${PROGRAMS:-.}/consistency" --format json "$folder/$1"/*.bin)
        [ "$t" -ge "$least_json" ] || least_json=$t
        [ -n "$python" ] || continue
        t=$(seconds "$python" tools/peer_consistency.py "$folder/$1"/*.bin)
        [ "$t" -ge "$least_peer" ] || least_peer=$t
    done
    [ -n "$python" ] || least_peer=
    echo "$2 $3 ${4:-} $least_text $least_json $least_peer" | awk '{ logits = $3 == "logits"; k = 3 + logits
        printf "%5d runs x %6d examples%s: text %.3f s, JSON %.3f s%s\n", $1, $2, logits ? " with logits" : "", $k / 1e4, $(k + 1) / 1e4,
            $(k + 2) == "" ? "" : sprintf(", numpy %.3f s", $(k + 2) / 1e4) }'
    rm -r "$folder/$1"
}
measure a 10 40430
measure b 10 40430 logits
if [ "${1:-}" = large ]; then
    measure c 1000 10000
fi
