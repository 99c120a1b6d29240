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

@test "bench_peer answers each line with seconds, operations, peak and bytes" {
    "$build/make_llama" "$work/llama" >/dev/null
    for what in train lora evaluate; do
        printf '3 5\n8\n' | "$build/bench_peer" $what "$work/llama" 2 8 1 >"$work/out"
        [ "$(grep -cE '^[0-9.]+ [1-9][0-9]+ [0-9]+ [1-9][0-9]+$' "$work/out")" = 2 ]
        [ "$(wc -l <"$work/out")" = 3 ]
    done
    printf 'forward 4 5 6\ninput 4 5 6\nweight 4 5 6\n' | "$build/bench_peer" products 1 >"$work/out"
    [ "$(cut -d ' ' -f 2 "$work/out" | grep -c '^240$')" = 3 ]
}

@test "the operations of a step are those of its products, three times a forward pass of them" {
    # RoBERTa-base's last layer: keys and values of all 20 tokens, the rest of the first token
    printf '20\n' | "$build/bench_peer" evaluate base 1 20 1 >"$work/forward"
    printf '20\n' | "$build/bench_peer" train base 1 20 1 >"$work/train"
    awk 'NR == FNR { forward = $2; next }
        FNR == 2 {
            C = 768; F = 3072; N = 20; layer = 4 * C * C + 2 * C * F
            linear = 2 * (11 * N * layer + 2 * N * C * C + layer - 2 * C * C + C * C + 2 * C)
            attention = 4 * C * (11 * N * N + N)
            if (forward != linear + attention || $2 != 3 * linear + 3.5 * attention) { print forward, $2, linear, attention; exit 1 }
        }' "$work/forward" "$work/train"
}

@test "bench refuses what it does not understand" {
    for words in --help dtype 'step 1 2' 'dtypes 1 bf16-tile 2' 'large 1 folder 2' 'roberta-large 1 2 3 4'; do
        run "$bench" $words
        [ "$status" = 64 ]
        [ "${lines[0]%% *}" = "usage:" ]
    done
    run "$bench" dtypes 1 bf16
    [ "$status" = 64 ]
}

@test "bench_peer refuses what it does not understand" {
    for words in '' 'train' 'train base 1' 'fly base 1 8' 'train base 0 8' 'train base 1 x' 'products 1 auto 1' 'train base 1 8 1 auto 1'; do
        run "$build/bench_peer" $words
        [ "$status" = 64 ]
        [ "${lines[0]%% *}" = "usage:" ]
    done
    "$build/make_llama" "$work/llama" >/dev/null
    for line in 9 '1 1 1' x '1 x' 0; do
        run "$build/bench_peer" evaluate "$work/llama" 2 8 1 <<<"$line"
        [ "$status" = 65 ]
        [[ "${lines[-1]}" == "bench_peer: not understood: $line"* ]]
    done
    for line in 'up 1 1 1' 'forward 1 1' 'input 0 1 1'; do
        run "$build/bench_peer" products 1 <<<"$line"
        [ "$status" = 65 ]
    done
    run "$build/bench_peer" train "$work/none" 1 8 1 </dev/null
    [ "$status" = 66 ]
    run "$build/bench_peer" products 1 none </dev/null
    [ "$status" = 64 ]
}

@test "bench_peer's kernels are those of the last argument, and base-2048 takes so many tokens" {
    run "$build/bench_peer" products 1 scalar </dev/null
    [ "$output" = "scalar kernels, 1 threads" ]
    printf '600\n' | "$build/bench_peer" evaluate base-2048 1 600 1 >"$work/out"
    [ "$(wc -l <"$work/out")" = 2 ]
}

@test "the comparison with PyTorch ends with 69 and a line where there is none" {
    command -v python3 >/dev/null || skip "no python3"
    # an interpreter without any package
    run python3 -IS tools/peer.py mrpc
    [ "$status" = 69 ]
    [ "${#lines[@]}" = 1 ]
    [[ "$output" == "peer: "*" has no "*"; torch, transformers and peft are needed" ]]
    printf '#!/bin/sh\nexec python3 -IS "$@"\n' >"$work/python"
    chmod +x "$work/python"
    run make -s BUILD="$build" NVCC= PYTHON="$work/python" -o "$build/bench_peer" -o "$build/make_llama" bench-peer
    [ "${lines[0]#peer: }" != "${lines[0]}" ]
    [[ "${lines[1]}" == *"Error 69" ]]
    run python3 -IS tools/peer.py --turns 1 nothing
    [ "$status" = 1 ]
    [ "$output" = "peer: no row nothing; --list names them" ]
    [ "$(python3 -IS tools/peer.py --list | grep -c '^forward-')" = 8 ]
}
