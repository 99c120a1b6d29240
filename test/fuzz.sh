#!/bin/bash
# fuzz.sh SECONDS TARGET...: each of build-fuzz/TARGET for so long; closes with "N passed, N failed". An input that fails is
# kept in build-fuzz/found, those that met something new in build-fuzz/corpus/TARGET, where the next run begins.
set -u
seconds=$1
shift
passed=0 failed=0
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # each input is written to files
export SEEDBED_DEVICE=cpu # the fence lets no target compare weights on the host
# the run whose checkpoints fuzz_runs reads, and test/fuzz_corpus.sh makes
export FUZZ_RUN="--task rte --model build-fuzz/seeds/model --data builtin --max-train 4 --max-eval 2 --epochs 2 --batch 2 --lora \
--lora-r 1 --lora-targets q --lr 1e-3 --eval-every 1 --max-len 32 --epoch-preds"
rm -rf build-fuzz/seeds
test/fuzz_corpus.sh build-fuzz/seeds || exit 1
# A reader may ask for memory as a file says, and be refused; leaks are looked for.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 OMP_NUM_THREADS=1
for target in "$@"; do
    mkdir -p build-fuzz/corpus/"$target" build-fuzz/found
    if build-fuzz/"$target" -max_total_time="$seconds" -timeout=300 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix=build-fuzz/found/"$target"- build-fuzz/corpus/"$target" build-fuzz/seeds/"$target" \
        >build-fuzz/"$target".log 2>&1; then
        passed=$((passed + 1))
        awk -v name="$target" -v seconds="$seconds" '/ cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
            /number_of_executed_units/ { print name ": " $2 " inputs in " seconds " s, " edges " edges met" }' build-fuzz/"$target".log
    else
        failed=$((failed + 1))
        grep -v '^#' build-fuzz/"$target".log | tail -n 40
        echo "$target: failed; the input is in build-fuzz/found"
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
