# What the command-line tests share. $refused is where a refused run would leave its files, $appended options that every
# refused command gets.

# workplace: for setup. The repository's root, the programs, what else was built, reference data, the folder of one test;
# and none of the caller's settings
workplace() {
    cd "$BATS_TEST_DIRNAME/.."
    programs="$(cd "${PROGRAMS:-.}" && pwd)"
    train="$programs/train_gpt" consistency="$programs/consistency" merge="$programs/merge"
    tracediff="$programs/tracediff" check="$programs/check"
    build="$(cd "${BUILD:-build}" && pwd)"
    goldens="$PWD/../shared/goldens" cases="$PWD/../shared/cases"
    work="$BATS_TEST_TMPDIR"
    unset SEEDBED_MODEL SEEDBED_DATA SEEDBED_DEVICE NO_COLOR
}

# make_shim: builds faultfs.c, which lets calls of the C library fail
make_shim() {
    case "${BUILD:-build}" in *san*) skip "a sanitizer's runtime must come first" ;; esac
    ${CC:-gcc} -shared -fPIC -o "$work/faultfs.so" test/faultfs.c -ldl
}

# make_tracer: builds faultsys.c, which lets system calls fail
make_tracer() {
    ${CC:-gcc} -o "$work/faultsys" test/faultsys.c
}

# at_fault FUNCTION N ERRNO COMMAND...: its exit code in $status, "none" if there is no such call; its message in $work/message
at_fault() {
    local fault="$1 $2 $3"
    shift 3
    status=0
    rm -f "$work/hit"
    FAULT="$fault" FAULT_HIT="$work/hit" LD_PRELOAD="$work/faultfs.so" "$@" >"$work/out" 2>"$work/err" || status=$?
    grep -v '^NOTE' "$work/err" >"$work/message" || true
    [ -e "$work/hit" ] || [ $status -ne 0 ] || status=none
}

# every file but logs, locks, claims and checkpoints that is in the first folder is whole: the same as in the second; there is no temporary one
all_whole() {
    local file
    file=$(find "$1" -path '*.unfinished' -prune -o -name '*tmp*' -print)
    [ -z "$file" ] || { echo "left: $file"; return 1; }
    find "$1" -type f ! -name '*.jsonl' ! -name '*.txt' ! -name '*.lock' ! -path '*.unfinished/*' ! -path '*/claims/*' | while read -r file; do cmp "$file" "$2/${file#"$1"/}" || return 1; done
}

# log_of FOLDER: its logs without what the machine decides
log_of() {
    plain_log "$1"/*.jsonl
}

plain_log() {
    sed -E 's/"(threads|seconds|tokens_per_second|peak_bytes)":[^,}]*//g; s/"simd":"[^"]*"//' "$@"
}

# fails CODE PATTERN COMMAND...: that exit code, one line on stderr that matches, and no prediction file; nothing at all is
# written if the input is to blame (64 to 66)
fails() {
    local code=$1 pattern=$2
    shift 2
    local status=0
    "$@" $appended >"$work/out" 2>"$work/err" || status=$?
    grep -a -v '^NOTE' "$work/err" >"$work/message" || true
    [ "$status" -eq "$code" ] || { echo "exit code $status, expected $code: $(cat "$work/err")"; return 1; }
    [ "$(wc -l <"$work/message")" -eq 1 ] || { echo "not one line: $(cat "$work/message")"; return 1; }
    grep -a -q -e "$pattern" "$work/message" || { echo "message: $(cat "$work/message")"; return 1; }
    [ "$code" -gt 66 ] || [ ! -e "$refused" ] || { echo "written: $(ls -a "$refused")"; return 1; }
    [ -z "$(ls "$refused" 2>/dev/null | grep -v jsonl)" ] || { echo "files were left: $(ls "$refused")"; return 1; }
}
