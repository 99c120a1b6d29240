#!/bin/sh
# Expected statistics of one set of prediction files: expect.sh FOLDER
out=$("${PROGRAMS:-.}/consistency" --expect "$1/expected.json" "$1"/*.bin)
echo "$out"
compared=$(echo "$out" | sed -n 's/.*: \([0-9]*\) values compared, .*/\1/p')
differ=$(echo "$out" | sed -n 's/.* compared, \([0-9]*\) differ/\1/p')
echo "$((${compared:-0} - ${differ:-0})) passed, ${differ:-1} failed"
