# Reports of consistency: where they are written, how runs are grouped and named, what an audit says. Fixtures are made here.

load common

setup() {
    workplace
    export NO_COLOR=1 OMP_NUM_THREADS=1
}

setup_file() {
    cd "$BATS_TEST_DIRNAME/.."
    "${PROGRAMS:-.}"/train_gpt --task rte --model tiny --data builtin --max-train 32 --max-eval 24 --epochs 1 --quiet --threads 1 \
        --seeds 1,2,3 --preds "$BATS_FILE_TMPDIR/preds" >/dev/null 2>&1
    mkdir "$BATS_FILE_TMPDIR/runs"
    for i in 1 2 3; do
        cp "$BATS_FILE_TMPDIR"/preds/*.s$i.bin "$BATS_FILE_TMPDIR/runs/s$i.bin"
    done
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

# says TEXT...: each stands in the output, where a warning may go on in the next line
says() {
    local text
    for text in "$@"; do
        cat "$work/out" <(sed -z 's/\n    \([^ ]\)/ \1/g' "$work/out") | grep -q -F -e "$text" || { echo "no '$text' in: $(cat "$work/out")"; return 1; }
    done
}

# make_csv FILE LABELS PREDICTIONS: characters are class names
make_csv() {
    mkdir -p "$(dirname "$1")"
    echo "id,label,prediction" >"$1"
    paste -d, <(seq 0 $((${#2} - 1))) <(fold -w1 <<<"$2") <(fold -w1 <<<"$3") >>"$1"
}

# without_digests FILE...: as an older program wrote them, without any of the digests of weights and training data
without_digests() {
    local file
    for file in "$@"; do edit_preds "$file" "$file" model_sha256= adapter_sha256= train_sha256= kernels_sha256=; done
}

# edit_preds IN OUT KEY=VALUE...: a prediction file with other metadata
edit_preds() {
    local in=$1 out=$2 size header pair octal='' i
    shift 2
    size=$(od -An -tu8 -N8 "$in" | tr -d ' ')
    header=$(tail -c +9 "$in" | head -c "$size" | sed 's/ *$//')
    for pair in "$@"; do
        header=$(KEY=${pair%%=*} VALUE=${pair#*=} awk '{
            text = "\"" ENVIRON["KEY"] "\":\""
            if ((at = index($0, text)) > 0) {
                rest = substr($0, at + length(text))
                match(rest, /([^"\\]|\\.)*",?/)
                $0 = substr($0, 1, at - 1) substr(rest, RLENGTH + 1)
            }
            value = ENVIRON["VALUE"]
            gsub(/["\\]/, "\\\\&", value)
            begin = "{\"__metadata__\":{"
            print begin text value "\"" (substr($0, length(begin) + 1, 1) == "}" ? "" : ",") substr($0, length(begin) + 1)
        }' <<<"$header")
    done
    header=$(printf '%s' "$header" | LC_ALL=C sed 's/,}/}/')
    while [ $(($(printf '%s' "$header" | wc -c) % 8)) -ne 0 ]; do header="$header "; done
    local n=$(printf '%s' "$header" | wc -c) from=$((size + 9))
    for i in 0 1 2 3 4 5 6 7; do
        octal=$octal$(printf '\\%03o' $((n >> (8 * i) & 255)))
    done
    { printf "$octal"; printf '%s' "$header"; tail -c +$from "$in"; } >"$out.new"
    mv "$out.new" "$out"
}

# three_runs FOLDER: seeds 1, 2 and 3 of one recipe
three_runs() {
    mkdir -p "$1"
    cp "$BATS_FILE_TMPDIR"/runs/s?.bin "$1"
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
        [ -L link ]
        cmp reports/real.csv plain
        [ "$(ls reports)" = real.csv ]
        yes | head -n 3000 >reports/real.csv
    done
    ln -s ../link reports/second
    $consistency --format csv -o reports/second seed?.csv 2>/dev/null
    [ -L link ]
    [ -L reports/second ]
    cmp reports/real.csv plain
    mkfifo fifo
    cat fifo >got &
    $consistency --format csv -o fifo seed?.csv 2>/dev/null
    wait $!
    [ -p fifo ]
    cmp got plain
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
    [ -L dangling ]
    [ -z "$(ls -a | grep 'tmp-')" ]
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
    refuses 64 'two values are needed' --compare A '' "$work/seed1.csv"
    refuses 64 "'': an empty file name" "$work/seed1.csv" ''
    refuses 64 'did you mean --version' --versoin
}

@test "other weights, adapters, training data or tokenizers under one name are groups, named apart in every format" {
    local key text format
    three_runs "$work/preds"
    cd "$work"
    without_digests preds/*.bin
    mkdir other
    for key in model:weights adapter:adapter train:training\ data tokenizer:tokenizer; do
        text=${key#*:} key=${key%:*}_sha256
        for i in 1 2 3; do
            edit_preds preds/s$i.bin "preds/a$i.bin" "$key=aaaa1111bbbb2222"
            edit_preds preds/s$i.bin "preds/b$i.bin" "$key=cccc3333dddd4444"
        done
        exits 0 preds/a?.bin preds/b?.bin
        [ "$(grep -c '^rte .* tiny .* 3 ' out)" -eq 2 ]
        says "  $text aaaa1111" "  $text cccc3333" "other $text under the same name: not mixed; compare: ./consistency --compare"
        # the command that it names does what it says
        bash -c "$(sed -n 's/.*compare: .\/consistency/$0/p' out | head -n 1)" "$consistency" >second
        grep -q "^  A  tiny ($text aaaa1111) .*, 3 runs" second
        grep -q "^  B  tiny ($text cccc3333)" second
        for format in json jsonl csv md latex html; do
            exits 0 --format $format preds/a?.bin preds/b?.bin
            says "$text aaaa1111" "$text cccc3333"
            exits 3 --strict --format $format preds/a?.bin preds/b?.bin
        done
        # a file without the key is none of those with it
        cp preds/s?.bin other
        [ "$key" != tokenizer_sha256 ] || for i in 1 2 3; do edit_preds preds/s$i.bin other/s$i.bin "$key="; done
        exits 0 preds/a?.bin other/s?.bin
        local empty=unknown
        [ "$key" != adapter_sha256 ] || empty=none
        says "  $text $empty"
        # one value and all absent: one group, nothing said
        exits 0 preds/a?.bin
        [ "$(grep -c "^rte .* 3 " out)" -eq 1 ]
        ! grep -q "$text" out || false
    done
    exits 0 preds/s?.bin
    [ "$(grep -c "^rte .* 3 " out)" -eq 1 ]
}

@test "runs of two metrics are not one group, nor compared" {
    three_runs "$work/preds"
    cd "$work"
    mkdir m
    edit_preds preds/s1.bin m/s1.bin metric=mcc
    edit_preds preds/s2.bin m/s2.bin metric=mcc
    exits 0 m
    says ' examples, mcc'
    refuses 65 'preds/s3.bin: its metric is accuracy, but that of m/s1.bin is mcc; .*--metric' m preds/s3.bin
    refuses 65 'preds/s3.bin: its metric is accuracy, but that of m/s1.bin is mcc' --compare m preds m/*.bin preds/s3.bin
}

@test "other data, and several keys at once" {
    three_runs "$work/preds"
    cd "$work"
    without_digests preds/*.bin
    for i in 1 2 3; do
        edit_preds preds/s$i.bin preds/b$i.bin dataset_sha256=0123456789abcdef model_sha256=feedfeedfeed train_sha256=beefbeefbeef \
            adapter_sha256=ababababab tokenizer_sha256=1212121212
    done
    exits 0 preds/[sb]?.bin
    says "  weights feedfeed, adapter abababab, training data beefbeef," "  tokenizer 12121212, data 01234567" "weights unknown"
    tr -d '\200-\277' <out | awk '!/^    compare: / && length($0) > 80 { exit 1 }'
    exits 0 --format json preds/[sb]?.bin
    says '"model_sha256": "feedfeedfeed"' '"train_sha256": ""' '"apart": "weights feedfeed, adapter abababab, training data beefbeef'
    for i in 1 2 3; do edit_preds preds/s$i.bin preds/b$i.bin dataset_sha256=0123456789abcdef; done
    exits 0 preds/[sb]?.bin
    says '1 other data file of this task: not mixed, a line each' 'data 01234567'
    # a side of a comparison holds one of them
    for i in 1 2 3; do edit_preds preds/s$i.bin preds/a$i.bin model_sha256=aaaa1111; done
    for i in 1 2; do edit_preds preds/s$i.bin preds/b$i.bin model_sha256=bbbb1111; done
    mkdir x
    mv preds/a?.bin preds/b[12].bin x
    refuses 65 'has several models or recipes .* differ in model_sha256; name one of them: model_sha256=[ab]*1111$' --compare x preds x/*.bin preds/s?.bin
}

@test "runs of other kernel sources: a warning with the command that compares them" {
    three_runs "$work/preds"
    cd "$work"
    edit_preds preds/s1.bin preds/s1.bin kernels_sha256=11112222aaaa
    edit_preds preds/s2.bin preds/s2.bin kernels_sha256=11112222aaaa
    edit_preds preds/s3.bin preds/s3.bin kernels_sha256=33334444bbbb
    exits 0 preds/s?.bin
    says 'several kernel sources; compare: ./consistency --compare kernels_sha256=11112222 kernels_sha256=33334444 preds/s*.bin'
    bash -c "$(sed -n 's/.*compare: .\/consistency/$0/p' out)" "$consistency" >second
    grep -q '^  A  tiny (kernels 11112222) .*, 2 runs' second
    grep -q '^  B  tiny (kernels 33334444) .*, 1 run$' second
    for format in text json jsonl csv md latex html; do
        exits 3 --strict --format $format preds/s?.bin
        cat out err | grep -q 'compare: .*./consistency --compare kernels_sha256=11112222 kernels_sha256=33334444 preds/s\*.bin'
    done
    exits 0 --strict --min-seeds 2 --drop-degenerate preds/s[12].bin || grep -q 'collapsed\|sample' out
    ! grep -q kernel out || false
    # a file from before such digests
    edit_preds preds/s3.bin preds/s3.bin kernels_sha256=
    exits 0 preds/s?.bin
    says 'compare: ./consistency --compare kernels_sha256=11112222 kernels_sha256= preds/s*.bin'
    bash -c "$(sed -n 's/.*compare: .\/consistency/$0/p' out)" "$consistency" | grep -q '^  B  tiny (kernels unknown) .*, 1 run$'
}

@test "beside a published table stand dev sets alone" {
    three_runs "$work/preds"
    cd "$work"
    exits 0 --reference table1 preds/s?.bin
    grep -q '  difference' out
    for i in 1 2 3; do edit_preds preds/s$i.bin preds/s$i.bin split=test; done
    refuses 65 'table1: no cell is of a task of the runs (rte)' --reference table1 preds/s?.bin
}

@test "the same seed twice: the command that compares the two, or that one of them must go" {
    three_runs "$work/preds"
    cd "$work"
    mkdir a "b c"
    cp preds/s1.bin a/s1.bin
    refuses 65 's1.bin: the same seeds as .*s1.bin (seed 1); name each run once' a/s1.bin a/s1.bin
    cp a/s1.bin a/copy.bin
    refuses 65 'the same seeds .*; a copy of it; leave out one of the two, or move it to another folder' a/s1.bin a/copy.bin
    rm a/copy.bin
    # what a run with another trace keeps beside the same predictions
    edit_preds a/s1.bin a/s1.1.bin trace_sha256=1111
    refuses 65 'the same seeds .*; they differ in trace_sha256 alone; leave out one of the two' a/s1.bin a/s1.1.bin
    edit_preds a/s1.bin a/s1.1.bin trace_sha256=1111 note=2
    refuses 65 'they differ in [a-z0-9_]*, [a-z0-9_]*; leave out' a/s1.1.bin a/s1.bin
    # the old file that a run with an edited kernel keeps beside the new one
    edit_preds a/s1.bin a/s1.bin kernels_sha256=11112222aaaa
    edit_preds a/s1.bin a/s1.1.bin kernels_sha256=33334444bbbb
    edit_preds preds/s2.bin a/s2.bin kernels_sha256=11112222aaaa
    refuses 65 'another kernels_sha256; compare: ./consistency --compare kernels_sha256=[13]*[24]* kernels_sha256=[13]*[24]* a/s\*.*bin$' a/*.bin
    bash -c "$(sed -n 's/.*compare: .\/consistency/$0/p' err)" "$consistency" >second
    grep -q 'A - B in points' second
    grep -q '; of 1 equal seeds 100.00, 1 identical' second
    # another commit
    edit_preds preds/s1.bin a/s1.bin git_commit=000000000001
    edit_preds preds/s1.bin a/s1.1.bin git_commit=000000000002
    refuses 65 'another git_commit; compare: ./consistency --compare git_commit=00000000000[12] git_commit=00000000000[12] a/s1.\*bin' a/s1*.bin
    # nothing but the folder tells them apart, and it has a space
    edit_preds preds/s1.bin a/s1.bin note=1
    cp a/s1.bin "b c/s1.bin"
    refuses 65 "another folder; compare: ./consistency --compare a/ 'b c/' a/s1.bin 'b c/s1.bin'" a/s1.bin "b c/s1.bin"
    bash -c "$(sed -n 's/.*compare: .\/consistency/$0/p' err)" "$consistency" | grep -q 'A - B in points'
}

@test "--compare with one run a side says n/a, and a task that one side lacks is a warning" {
    two_runs
    cd "$work"
    make_csv A/seed1.csv aabb aabb
    make_csv B/seed1.csv aabb abbb
    for format in text json jsonl csv md latex html; do
        exits 0 --format $format --compare A B A/seed1.csv B/seed1.csv
        ! grep -i '[^a-z]nan\|[^a-z]inf[^oe]' out || false
    done
    exits 0 --compare A B A/seed1.csv B/seed1.csv
    says '  CON       n/a  p n/a  Holm n/a' '  A  A/seed*.csv 44136fa3, A, 1 run' 'P(A > B) 1.00'
    make_csv A/seed1-x.csv aabb aabb
    make_csv B/seed1-x.csv aabb aabb
    exits 0 --compare A B A/seed1.csv B/seed1-x.csv
    says "no runs of 'B': not compared" "no runs of 'A': not compared"
    exits 3 --strict --min-seeds 1 --compare A B A/seed1.csv B/seed1-x.csv
}

@test "audits: what no runs can have is named with its reason, in every format" {
    cat >"$work/t.csv" <<END
model,task,zeta,VAR,CON,CCON,K,N,S
ok,a,75.00,16.58,66.67,58.33,2,20,4
range,a,97.00,30.00,97.00,95.50,2,100000,5
agree,a,80.00,22.00,90.00,75.00,2,100000,10
pairs,a,85.00,4.00,98.00,84.00,2,100000,10
same,a,70.00,0.20,100.00,70.00,2,100000,10
same8,a,75.00,12.50,100.00,75.00,2,8,3
cut,a,66.66,0.00,100.00,66.66,2,3,2
average,a,33.34,0.00,100.00,33.34,2,3,2
grid,a,66.60,0.00,100.00,66.60,2,3,2
even,a,50.00,0.00,40.00,20.00,2,100000,10
END
    exits 0 --audit-table "$work/t.csv"
    local expected='ok consistent
range inconsistent
agree inconsistent
pairs inconsistent
same inconsistent
same8 inconsistent
cut truncated
average beyond rounding
grid off the grid
even inconsistent'
    [ "$(awk '/ a  /' "$work/out" | sed 's/ .*  / /')" = "$expected" ] || { cat "$work/out"; return 1; }
    says 'VAR^2 is at most zeta (1 - zeta)' 'VAR^2 is at most (S - 1)/S (zeta - CCON)' 'differ by at most 1 - CON' 'CON = 100 needs VAR = 0' \
        'zeta 66.66 is no rounding of a multiple of 1/6 (50.0000, 66.6667) but cut off from one' 'but perhaps an average of rounded numbers' \
        'nor cut off from one' 'CCON is at least 22.22' '10 cells, 6 inconsistent, 1 off the grid, 1 truncated, 1 beyond rounding'
    for format in json jsonl csv md latex html; do
        exits 3 --strict --format $format --audit-table "$work/t.csv"
        says 'CON = 100 needs VAR = 0' 'off the grid' 'truncated' 'differ by at most 1 - CON'
    done
    # alone: a cell that no runs can have is 3 with --strict, one that printing explains is not
    for row in 2:0 3:3 4:3 5:3 6:3 7:3 8:0 9:0 10:3 11:3; do
        sed -n "1p;${row%:*}p" "$work/t.csv" >"$work/one.csv"
        exits "${row#*:}" --strict --audit-table "$work/one.csv"
    done
    # JSON, with the number of runs; 10 where none is named
    printf '{"seeds": 3, "columns": 4, "m": {"CB": [66.07, 0.84, 91.67, 62.50]}}' >"$work/t.json"
    exits 0 --format json --audit-table "$work/t.json"
    says '"S": 3' '"N": 56.0' '"verdict": "consistent"'
    printf '{"m": {"CB": [66.07, 0.84, 91.67, 62.50]}}' >"$work/t.json"
    exits 0 --format json --audit-table "$work/t.json"
    says '"S": 10'
    # printed with one decimal: rounding is larger
    printf 'model,task,zeta,VAR,CON,CCON\nm,WiC,70.1,1.2,90.2,65.1\nm,QQP,70.1,1.2,90.2,65.6\n' >"$work/t.csv"
    exits 0 --audit-table "$work/t.csv"
    grep -q 'WiC .* consistent$' "$work/out"
    grep -q 'QQP .* inconsistent$' "$work/out"
    # VAR with more decimals than the rest
    printf 'model,task,zeta,VAR,CON,CCON,K,N,S\nm,a,85.2,0.35,91.3,80.9,2,277,10\nm,b,66.7,0.00,100,66.7,2,3,2\n' >"$work/t.csv"
    exits 0 --strict --audit-table "$work/t.csv"
    printf 'model,task,zeta,VAR,CON,CCON,K,N,S\nm,b,75.00,12.50,100,75.00,2,8,2\n' >"$work/t.csv"
    exits 3 --strict --audit-table "$work/t.csv"
    # MCC is no share: from -1 to 1
    printf 'model,task,zeta,VAR,CON,CCON\nm,CoLA,10.00,99.00,90.00,60.00\nn,CoLA,10.00,99.90,90.00,60.00\n' >"$work/t.csv"
    exits 0 --audit-table "$work/t.csv"
    grep -q '^m .* not checked$' "$work/out"
    grep -q '^n .* inconsistent$' "$work/out"
    says 'VAR^2 is at most 1 - zeta^2'
    for bad in 'm,RTE,80,1,90:7 fields\|5 fields' 'm,RTE,80,1,90,75,2,277,1:S .1. is not a whole number from 2' \
        'm,RTE,80,1,90,75,2.5,277,3:K .2.5. is not a whole number from 1' 'm,RTE,nan,1,90,75,2,277,3:zeta .nan. is not a number'; do
        printf 'model,task,zeta,VAR,CON,CCON,K,N,S\n%s\n' "${bad%%:*}" >"$work/bad.csv"
        refuses 65 "bad.csv:2: .*\(${bad#*:}\)" --audit-table "$work/bad.csv"
    done
    printf '{"seeds": 1, "m": {"CB": [66.07, 0.84, 91.67, 62.50]}}' >"$work/t.json"
    refuses 65 'seeds is not a whole number from 2' --audit-table "$work/t.json"
}

@test "audits of the study's Table 1 and of an impossible table" {
    [ -f "$goldens/stats/table1.json" ] && [ -f "$cases/faults/impossible_table.json" ] || skip "needs ../shared"
    exits 0 --audit-table "$goldens/stats/table1.json"
    says '24 cells, 2 inconsistent, 1 off the grid, 2 truncated, 4 beyond rounding' '6 numbers are no rounding' '; 5 of them are cut off'
    [ "$(grep -o '! [a-zA-Z]* [0-9.]* is no rounding' "$work/out" | cut -d' ' -f2,3 | tr '\n' ';')" = \
        "zeta 95.59;CON 91.50;CON 64.88;zeta 73.92;CON 89.82;CCON 70.35;" ]
    # docs/STATISTICS.md has this very output
    sed '/table1.json/d' "$work/out" | while read -r line; do
        grep -q -F -e "$line" docs/STATISTICS.md || { echo "not in docs/STATISTICS.md: $line"; exit 1; }
    done
    exits 3 --strict --audit-table "$cases/faults/impossible_table.json"
    says '6 cells, 4 inconsistent, 1 off the grid, 1 truncated'
    for task in 'MRPC .* inconsistent' 'RTEG .* inconsistent' 'SST2 .* inconsistent' 'WiC .* inconsistent' 'COPA .* truncated' 'CB .* off the grid'; do
        grep -q "$task\$" "$work/out"
    done
}

@test "a folder stands for its prediction files; -o picks the format by its end" {
    three_runs "$work/preds"
    cd "$work"
    $consistency preds/*.bin >plain
    echo '{"event": "start"}' >preds/s1.jsonl
    echo text >preds/notes.txt
    mkdir preds/below.bin
    cp preds/s1.bin preds/s1.bin.tmp-77
    cp preds/s1.bin preds/.hidden.bin
    for folder in preds preds/ ./preds; do
        $consistency $folder | cmp - plain
    done
    (cd preds && $consistency . | cmp - ../plain)
    mkdir one 'two more'
    mv preds/s3.bin 'two more'
    $consistency preds 'two more' | cmp - plain
    $consistency preds/s1.bin preds/s2.bin 'two more' | cmp - plain
    exits 0 --compare preds 'two more' preds 'two more'
    says '  A  tiny ' '2 runs' '1 run'
    refuses 65 'one: a folder without prediction files' one
    refuses 65 'one: a folder without prediction files' preds one
    refuses 66 'cannot open none' none
    mv 'two more/s3.bin' preds
    for pair in html:html HTML:html htm:html json:json jsonl:jsonl csv:csv md:md tex:latex txt:text bin:text; do
        exits 0 -o "r.${pair%:*}" preds
        $consistency --format ${pair#*:} preds 2>/dev/null | cmp - "r.${pair%:*}"
    done
    exits 0 -o r.html --format csv preds
    $consistency --format csv preds 2>/dev/null | cmp - r.html
    exits 0 --format md -o r.json preds
    $consistency --format md preds | cmp - r.json
}

@test "long and strange names: the end of a path, escaped text, valid JSON" {
    local name='a<b>&"c"|_$%#{x}~^`d\*e' long=/very/long/path/of/some/experiment/of/mine
    cd "$work"
    three_runs preds
    for i in 1 2 3; do
        edit_preds preds/s$i.bin preds/s$i.bin "model=$name" 'task=t<i>a|s_k' 'device=<script>cpu' 'checkpoint=<b>' "git_commit=<u>" \
            'kernels=<i>' 'dataset_sha256=<s>' 'model_sha256=<em>' "train_sha256='<q>"
        edit_preds preds/s$i.bin preds/t$i.bin "model_sha256=<tt>" 'label_names=["<one>","<two>&"]'
    done
    exits 0 --format html preds
    ! grep -q '<script\|<b>\|<u>\|<i>\|<s>\|<em>\|<q>\|<tt>\|<one>' out || false
    says 'a&lt;b&gt;&amp;&quot;c&quot;|_$%#{x}' '&lt;two&gt;&amp;' 'weights &lt;em&gt;' 't&lt;i&gt;a|s_k' '&#39;&lt;q&gt;'
    exits 0 --format md preds
    says 'a\<b\>&"c"\|\_$%#\{x\}~^\`d\\\*e' 't\<i\>a\|s\_k'
    awk -F'[^\\\\][|]' '/^\| t/ { if (n && NF != n) exit 1; n = NF }' out
    exits 0 --format latex preds
    says 'a\textless{}b\textgreater{}\&"c"\textbar{}\_\$\%\#\{x\}\~{}\^{}`d\textbackslash{}*e'
    exits 0 --format csv preds
    says '"a<b>&""c""|_$%#{x}~^`d\*e (weights <em>)"'
    exits 0 --format json preds
    says '"model": "a<b>&\"c\"|_$%#{x}~^`d\\*e"' '"label_names": [' '"seed": 1,' '"name": "1"'
    ! grep -q '"seed[a-z_]*": "' out || false
    # names in other scripts are cut between characters
    for i in 1 2 3; do
        edit_preds preds/s$i.bin preds/s$i.bin 'model=模型模型模型模型模型模型模型模型模型模型' 'task=ééééééééé' model_sha256=
    done
    exits 0 preds/s?.bin
    says 'éééééééé …型模型模型模型模型模型模型模型     3'
    exits 0 --ascii preds/s?.bin
    says ' ~型模型'
    exits 0 --format html preds/s?.bin
    iconv -f UTF-8 -t UTF-8 out >/dev/null
    # ids and classes of an import
    for i in 1 2; do
        printf 'id,label,prediction\n<b>1,<i>,<i>\n"2,""x""",<u>,%s\n' "$([ $i = 1 ] && echo '<i>' || echo '<u>')" >seed$i.csv
    done
    exits 0 --format html seed?.csv
    ! grep -q '<b>\|<i>\|<u>' out || false
    says '2,&quot;x&quot;' '1 &lt;i&gt;, 1 &lt;u&gt;'
    exits 0 --format csv --examples all seed?.csv
    says ',"2,""x""",' ',<b>1,'
    # an import's name is its path
    mkdir -p ".$long"
    make_csv ".$long/seed1.csv" aabb aabb
    make_csv ".$long/seed2.csv" aabb abbb
    exits 0 ".$long"/seed?.csv
    says '…/mine/seed*.csv'
    # bytes that are no UTF-8
    local odd=$'s\377\376-'
    cp preds/s1.bin "${odd}1.bin"
    cp preds/s2.bin "${odd}2.bin"
    for format in json jsonl html md csv latex text; do
        exits 0 --format $format "$odd"*.bin
        iconv -f UTF-8 -t UTF-8 out >/dev/null || { echo "$format"; return 1; }
    done
    mkdir "$odd"
    cp preds/s[12].bin "$odd"
    exits 0 --format json --compare "$odd" preds "$odd"/*.bin preds/s3.bin
    iconv -f UTF-8 -t UTF-8 out >/dev/null
    say='"file": "s??-/s1.bin"'
    says "$say"
}

@test "seeds of a grid are named init-data-dropout, and what it lacks is said" {
    three_runs "$work/preds"
    cd "$work"
    mkdir g
    for i in 1 2; do
        for d in 5 6 7; do
            edit_preds preds/s$i.bin g/$i-$d.bin seed=42 seed_init=$i seed_data=$d seed_dropout=42
        done
    done
    exits 0 --pairs g
    says 'seed variance init' 'seeds 1-5-42, 1-6-42, 1-7-42, 2-5-42' '    1-5-42       1-6-42  '
    ! grep -q 'complete grid' out || false
    exits 0 --format html g
    says '>1-5-42<' '1-5-42, 1-6-42'
    exits 0 --format json g
    says '"name": "2-7-42"' '"seed_data": 7'
    rm g/2-6.bin
    exits 0 g
    says 'the seeds of init, data form no complete grid: 5 of 6 combinations, without 2-6-42: no variance by source'
    exits 3 --strict --min-seeds 1 g
    cp g/1-5.bin g/copy.bin
    refuses 65 'the same seeds as .* (seed 1-5-42); a copy of it; leave out one of the two' g
    # dropout alone, or one seed for two sources, is no grid
    rm g/*
    for i in 1 2 3; do
        edit_preds preds/s$i.bin g/a$i.bin seed=42 seed_init=42 seed_data=42 seed_dropout=$i
        edit_preds preds/s$i.bin preds/b$i.bin seed=$i seed_init=$i seed_data=$i seed_dropout=9
    done
    exits 0 g
    says '42-42-1, 42-42-2, 42-42-3'
    ! grep -q 'complete grid' out || false
    exits 0 preds/b?.bin
    says '1-1-9, 2-2-9, 3-3-9'
    ! grep -q 'complete grid' out || false
    # the order of sums is a source of its own; seeds that go together are one
    rm g/*
    for i in 1 2; do
        for o in 5 6 7; do
            edit_preds preds/s$i.bin g/$i-$o.bin seed=$i seed_init=$i seed_data=$i seed_dropout=$i seed_order=$o
        done
    done
    exits 0 g
    says 'seed variance init+data+dropout' '                order '
    ! grep -q 'complete grid' out || false
    rm g/2-6.bin
    exits 0 g
    says 'the seeds of init+data+dropout, order form no complete grid: 5 of 6 combinations, without 2-2-2-6'
    refuses 65 'the same seeds as .* (seed 1-1-1-5)' g/1-5.bin g/1-5.bin
    edit_preds preds/s1.bin g/bad.bin seed_order=x
    refuses 65 "seed_order 'x' is not a number" g/bad.bin
}

@test "names in files move no cursor: control characters are shown as ?" {
    mkdir "$work/plain"
    for s in 1 2 3; do printf 'id,label,prediction\n0,a,a\n1,b,\033[31mb\n2,b,\a\n' >"$work/plain/seed$s.csv"; done
    $consistency "$work"/plain/seed*.csv >"$work/out"
    grep -q '^  classes .*?\[31mb' "$work/out"
    grep -q "^  ! .*'?\[31mb'" "$work/out"
    $consistency --format csv "$work"/plain/seed*.csv 2>"$work/err" >/dev/null
    grep -q '?\[31mb' "$work/err"
    ! grep -q "$(printf '[\033\a]')" "$work/out" "$work/err" || false
}
