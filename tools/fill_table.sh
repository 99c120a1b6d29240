#!/bin/bash
# Puts standard input between the lines "<!-- NAME: ... -->" and "<!-- end of NAME -->" of a page: tools/fill_table.sh PAGE NAME
set -eu -o pipefail
table=$(mktemp)
trap 'rm -f "$table" "$table.page"' EXIT
cat >"$table"
awk -v name="$2" -v table="$table" '
    $0 == "<!-- end of " name " -->" { inside = 0 }
    !inside { print }
    index($0, "<!-- " name ": ") == 1 { inside = 1; while ((getline line < table) > 0) { print line } }' "$1" >"$table.page"
cat "$table.page" >"$1"
