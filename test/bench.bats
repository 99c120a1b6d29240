#!/usr/bin/env bats
# What build/bench computes.

load common

setup() {
    workplace
    bench="$build/bench"
}

@test "the roofline table of docs/KERNELS.md is what bench computes" {
    "$bench" roofline >"$work/table"
    sed -n '/^<!-- roofline: /,/^<!-- end of roofline -->/p' docs/KERNELS.md | grep '^|' | diff - "$work/table"
    SEEDBED_DEVICE=sim "$bench" roofline | cmp - "$work/table"
}

@test "its products have the FLOPs of the formula, and its last line the sums" {
    "$bench" roofline >"$work/table"
    # 23 layers of 2,048 tokens; of the last one keys and values, and the rows of 16 first tokens; the head
    awk -F ' *[|] *' '
        BEGIN {
            C = 1024; F = 4096; N = 2048
            layer = 4 * C * C + 2 * C * F
            products = 2e-9 * (23 * N * layer + 2 * N * C * C + 16 * (layer - 2 * C * C) + 16 * (C * C + 2 * C))
        }
        $2 ~ /^matmul_/ { checked++; if (sprintf("%.2f", products) != $4 || $7 != "FFMA") { print; exit 1 } }
        $2 == "all" { if (calls != $3 || (gflop - $4) ^ 2 > 0.01 || (ms - $8) ^ 2 > 1e-4) { print; exit 1 } }
        NR > 2 { calls += $3; gflop += $4; ms += $8 }
        END { exit checked != 3 }' "$work/table"
}

@test "a table is put between its marks, and nothing else changes" {
    printf '%s\n' before '<!-- x: by y -->' old '<!-- end of x -->' '<!-- xx: z -->' kept '<!-- end of xx -->' >"$work/page"
    printf 'new\nlines\n' | tools/fill_table.sh "$work/page" x
    printf '%s\n' before '<!-- x: by y -->' new lines '<!-- end of x -->' '<!-- xx: z -->' kept '<!-- end of xx -->' | cmp - "$work/page"
}
