# Reports of consistency: where they are written, how runs are grouped and named, what an audit says. Fixtures are made here.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    consistency="$(cd "${PROGRAMS:-.}" && pwd)/consistency"
    train="$(cd "${PROGRAMS:-.}" && pwd)/train_gpt"
    work="$BATS_TEST_TMPDIR"
    goldens="$PWD/../shared/goldens"
    faults="$PWD/../shared/cases/faults"
    unset SEEDBED_MODEL SEEDBED_DATA
    export NO_COLOR=1 OMP_NUM_THREADS=1
}

# exits CODE ARGUMENTS...: output in $work/out and $work/err
exits() {
    local code=$1 status=0
    shift
    $consistency "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$code" ] || { echo "exit code $status, expected $code: $(cat "$work/err")"; return 1; }
}

# refuses CODE PATTERN ARGUMENTS...: that exit code, one line on stderr that matches, nothing on stdout
refuses() {
    local code=$1 pattern=$2
    shift 2
    exits "$code" "$@"
    grep -q -e "$pattern" "$work/err" && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] ||
        { echo "message: $(cat "$work/err" "$work/out")"; return 1; }
}

# says TEXT...: each stands in the output
says() {
    local text
    for text in "$@"; do
        grep -q -F -e "$text" "$work/out" || { echo "no '$text' in: $(cat "$work/out")"; return 1; }
    done
}

# make_csv FILE LABELS PREDICTIONS: characters are class names
make_csv() {
    mkdir -p "$(dirname "$1")"
    echo "id,label,prediction" >"$1"
    paste -d, <(seq 0 $((${#2} - 1))) <(fold -w1 <<<"$2") <(fold -w1 <<<"$3") >>"$1"
}

two_runs() {
    make_csv "$work/seed1.csv" aabb aabb
    make_csv "$work/seed2.csv" aabb aaab
}

@test "a report is written into devices, FIFOs and standard output, and through symbolic links" {
    two_runs
    cd "$work"
    mkdir reports
    $consistency --format csv seed?.csv >plain 2>/dev/null
    [ -s plain ]
    ln -s reports/real.csv link
    for round in 1 2; do # no file there, then an old one
        $consistency --format csv -o link seed?.csv 2>/dev/null
        [ -L link ] && cmp reports/real.csv plain
        [ "$(ls reports)" = real.csv ]
        yes | head -n 3000 >reports/real.csv
    done
    ln -s ../link reports/second
    $consistency --format csv -o reports/second seed?.csv 2>/dev/null
    [ -L link ] && [ -L reports/second ] && cmp reports/real.csv plain
    mkfifo fifo
    cat fifo >got &
    $consistency --format csv -o fifo seed?.csv 2>/dev/null
    wait $!
    [ -p fifo ] && cmp got plain
    rm fifo
    $consistency --format csv -o >(cat >sub) seed?.csv 2>/dev/null
    for i in $(seq 50); do cmp -s sub plain && break || sleep .05; done
    cmp sub plain
    $consistency --format csv -o /dev/null seed?.csv 2>/dev/null
    [ -c /dev/null ]
    echo first >log
    $consistency --format csv -o /dev/stdout seed?.csv >>log 2>/dev/null
    cmp log <(echo first; cat plain)
    $consistency --format csv -o /dev/stdout seed?.csv 2>/dev/null | cmp - plain
    ln -s loop loop
    refuses 73 'cannot create loop' -o loop seed?.csv
    [ -L loop ]
    ln -s reports folder
    refuses 73 'a folder has that name' -o folder seed?.csv
    ln -s none/file dangling
    refuses 73 'cannot create dangling' -o dangling seed?.csv
    [ -L dangling ] && [ -z "$(ls -a | grep 'tmp-')" ]
}

# ends CODE PATTERN COMMAND: of a command that redirects its own standard output
ends() {
    local status=0
    bash -c "$3" 2>"$work/err" || status=$?
    [ "$status" -eq "$1" ] && { [ -z "$2" ] || grep -q -e "$2" "$work/err"; } || { echo "exit code $status, expected $1: $(cat "$work/err")"; return 1; }
}

@test "standard output that is full or closed is an error, for help and every format too" {
    two_runs
    cd "$work"
    for format in text json jsonl csv md latex html; do
        ends 74 'cannot write to standard output: No space' "$consistency --format $format seed?.csv >/dev/full"
        ends 74 'cannot write to standard output: Bad file' "$consistency --format $format seed?.csv >&-"
    done
    for command in "--help" "--version" "--expect expected.json seed?.csv" "--audit-table table.csv"; do
        echo '{"S": 2}' >expected.json
        printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,80,1,90,75\n' >table.csv
        ends 74 'cannot write to standard output' "$consistency $command >/dev/full"
        ends 74 'cannot write to standard output' "$consistency $command >&-"
        ends 0 '' "$consistency $command >/dev/null"
    done
    ends 74 'cannot write /dev/full: No space' "$consistency -o /dev/full seed?.csv"
    ends 0 '' "$consistency -o report seed?.csv >&-"
    [ -s report ]
}

@test "--version, and options without a value" {
    exits 0 --version
    grep -q '^consistency of seedbed [0-9.]*, commit [0-9a-z-]*$' "$work/out"
    two_runs
    for option in format output compare correlate audit-table expect tol min-seeds level ci boot boot-seed ddof examples data gold \
        labels metric; do
        refuses 64 "^consistency: --$option '': an empty value" "--$option" '' "$work/seed1.csv"
        refuses 64 "^consistency: --$option '': an empty value" "--$option=" "$work/seed1.csv"
    done
    refuses 64 "^consistency: --output '': an empty value" -o '' "$work/seed1.csv"
    refuses 64 'name two sets' --compare A '' "$work/seed1.csv"
    refuses 64 "'': an empty file name" "$work/seed1.csv" ''
    refuses 64 'did you mean --version' --versoin
}
