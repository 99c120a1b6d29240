# What a user of consistency types, and what comes back. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    short="--task rte --model tiny --data builtin --max-train 96 --max-eval 64 --epochs 1 --quiet"
}

# refuses CODE PATTERN ARGUMENTS...: that exit code, one line on stderr that matches, nothing on stdout
refuses() {
    local code=$1 pattern=$2 status=0
    shift 2
    $consistency "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$code" ] && grep -q -e "$pattern" "$work/err" && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] ||
        { echo "exit code $status, expected $code: $(cat "$work/err")"; return 1; }
}

# exits CODE ARGUMENTS...
exits() {
    local code=$1 status=0
    shift
    $consistency "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$code" ] || { echo "exit code $status, expected $code: $(cat "$work/err")"; return 1; }
}

# make_csv FILE LABELS PREDICTIONS: characters are class names
make_csv() {
    mkdir -p "$(dirname "$1")"
    echo "id,label,prediction" >"$1"
    paste -d, <(seq 0 $((${#2} - 1))) <(fold -w1 <<<"$2") <(fold -w1 <<<"$3") >>"$1"
}

three_runs() {
    $train $short --seeds 1,2,3 --preds "$work/preds" >/dev/null 2>&1
}

@test "refuses what it must, and the order of files changes nothing in any format" {
    three_runs
    set -- "$work"/preds/*.bin
    for format in text json jsonl csv md latex html; do
        $consistency --format $format "$1" "$2" "$3" >"$work/a"
        $consistency --format $format "$3" "$1" "$2" >"$work/b"
        cmp "$work/a" "$work/b"
        [ -s "$work/a" ]
    done
    refuses 65 'the same seeds' "$1" "$1"
    refuses 66 'cannot open' "$1" "$work/none.bin"
    refuses 65 'a folder' "$work"
    refuses 64 'no files'
    refuses 64 'choose one of text' --format xml "$1"
    refuses 64 'did you mean --format' --fromat text "$1"
    refuses 64 'a file of that name is ./-x.bin' -x.bin
    refuses 64 'a value is missing' "$1" --boot
    refuses 64 'not a whole number' --boot many "$1"
    refuses 64 'from 0.5' --level 95 "$1"
    refuses 64 'two values are needed' --compare A
    head -c 2000 "$1" >"$work/cut.bin"
    refuses 65 'cut.bin' "$1" "$work/cut.bin"
    : >"$work/empty.bin"
    refuses 65 'empty.bin' "$work/empty.bin"
    echo "hello, this is another kind of file" >"$work/foreign.bin"
    refuses 65 'foreign.bin' "$work/foreign.bin"
    truncate -s 3G "$work/huge.bin"
    refuses 65 'huge.bin' "$work/huge.bin"
    rm "$work/huge.bin"
    cp "$1" "$work/flip.bin"
    printf 'x' | dd of="$work/flip.bin" bs=1 seek=$(($(wc -c <"$1") - 9)) conv=notrunc 2>/dev/null
    refuses 65 'damaged' "$work/flip.bin"
    # files are read side by side: of several bad ones the first is named
    for i in $(seq 10 99); do cp "$work/empty.bin" "$work/bad$i.bin"; done
    for threads in 1 4; do
        export OMP_NUM_THREADS=$threads
        refuses 65 'bad10.bin' "$1" "$work"/bad*.bin
        refuses 65 'bad99.bin' "$1" $(ls -r "$work"/bad*.bin)
    done
    export OMP_NUM_THREADS=1
    refuses 73 'no-such-folder' -o "$work/no-such-folder/report.html" "$1"
    [ "$(id -u)" -eq 0 ] || { mkdir "$work/locked"; chmod 500 "$work/locked"; refuses 77 locked -o "$work/locked/r" "$1"; }
    cp "$1" "$work/-dash.bin"
    (cd "$work" && $consistency -- -dash.bin | grep -q '^rte')
}

@test "one run and two runs: what can be said, and a warning" {
    three_runs
    set -- "$work"/preds/*.bin
    $consistency "$1" >"$work/one"
    grep -q 'CON and CCON are of pairs' "$work/one"
    grep -q '^rte .* n/a  *n/a' "$work/one"
    $consistency "$1" "$2" | grep -q 'no interval over seeds'
    exits 3 --strict "$1" "$2"
    exits 3 --strict --min-seeds 5 "$@"
    $consistency --format json "$1" "$2" | grep -q '"CON_ci": null'
}

@test "the text fits 80 columns, ascii and NO_COLOR are honoured" {
    three_runs
    $train $short --max-train 48 --seeds 1,2,3 --preds "$work/more" >/dev/null 2>&1
    $consistency --pairs --examples 5 --boot 100 --compare "$(basename "$work"/preds/*s1.bin | cut -d. -f5)" \
        "$(basename "$work"/more/*s1.bin | cut -d. -f5)" "$work"/preds/*.bin "$work"/more/*.bin >"$work/out"
    LC_ALL=C.UTF-8 awk 'length($0) > 80 { print; bad = 1 } END { exit bad }' <(grep -v '^  !' "$work/out")
    grep -q '▁\|█' "$work/out"
    [ "$($consistency --ascii "$work"/preds/*.bin | LC_ALL=C grep -c '[^ -~]')" -eq 0 ]
    ! grep -q "$(printf '\033')" "$work/out" || false
    $consistency --help >"$work/help"
    awk 'length($0) > 80 { print; bad = 1 } END { exit bad }' "$work/help"
}

@test "JSON: intervals, bootstrap, pairs, provenance; expected values" {
    $train $short --seeds 1,2,3,4 --preds "$work/preds" >/dev/null 2>&1
    $consistency --format json --pairs --boot 500 --boot-seed 7 "$work"/preds/*.bin >"$work/a"
    $consistency --format json --pairs --boot 500 --boot-seed 7 "$work"/preds/*.bin >"$work/b"
    cmp "$work/a" "$work/b"
    for key in CON_ci fleiss_kappa krippendorff_alpha cochran_q churn degenerate bootstrap jsd_pairs probabilistic_agreement \
        expected_best data_map data_sha256 git_commit warnings zeta_by_run; do
        grep -q "\"$key\"" "$work/a"
    done
    $consistency --level 0.9 --format json "$work"/preds/*.bin | grep -q '"SD_ci90"'
    printf '{"S": 4, "N": 64}' >"$work/right.json"
    $consistency --expect "$work/right.json" "$work"/preds/*.bin | grep -q '2 values compared, 0 differ'
    printf '{"S": 5, "N": 64}' >"$work/wrong.json"
    exits 4 --expect "$work/wrong.json" "$work"/preds/*.bin
    grep -q 'S: 4, expected 5' "$work/out"
    # a report of one group is its group; what has no value to compare is no expectation
    for format in json jsonl; do
        $consistency --format $format "$work"/preds/*.bin >"$work/report.json"
        exits 0 --expect "$work/report.json" "$work"/preds/*.bin
        grep -q 'report.json: [0-9][0-9][0-9] values compared, 0 differ' "$work/out"
    done
    $train $short --seeds 1,2 --lr 1e-5 --preds "$work/preds" >/dev/null 2>&1
    $consistency --format json "$work"/preds/*.bin >"$work/two.json"
    refuses 65 'two.json: a report of 2 groups; one group is compared' --expect "$work/two.json" "$work"/preds/*.s3.bin
    printf '{"groups": [4]}' >"$work/four.json"
    refuses 65 'four.json: not a JSON object' --expect "$work/four.json" "$work"/preds/*.s3.bin
    printf '{"con": 0.9}' >"$work/none.json"
    exits 65 --expect "$work/none.json" "$work"/preds/*.s3.bin
    grep -q 'none.json: no value under a name that is computed' "$work/err"
}

@test "every format: the shape of the tables" {
    three_runs
    $consistency --format md "$work"/preds/*.bin >"$work/md"
    [ "$(head -n 1 "$work/md")" = "| | RTEG |" ]
    [ "$(sed -n 4,7p "$work/md" | cut -d' ' -f2 | tr '\n' ' ')" = "ζ VAR CON CCON " ]
    $consistency --format latex "$work"/preds/*.bin >"$work/tex" 2>"$work/err"
    [ "$(grep -c 'begin{tabular}' "$work/tex")" -eq "$(grep -c 'end{tabular}' "$work/tex")" ]
    grep -q 'multicolumn{1}{c}{GLUE}' "$work/tex"
    grep -q '^\$\\zeta\$ & [0-9.]* ' "$work/tex"
    grep -q 'built-in sample' "$work/err"
    $consistency --format csv "$work"/preds/*.bin >"$work/csv" 2>/dev/null
    awk -F, 'NF != 12 { exit 1 }' "$work/csv"
    grep -q ',CON,[0-9.e-]*,[0-9.e-]*,[0-9.e-]*,number,3,64' "$work/csv"
    $consistency --format csv --examples all "$work"/preds/*.bin 2>/dev/null >"$work/examples"
    [ "$(wc -l <"$work/examples")" -eq 65 ]
    [ "$($consistency --format jsonl "$work"/preds/*.bin | wc -l)" -eq 1 ]
    $consistency --format html -o "$work/r.html" "$work"/preds/*.bin
    [ "$(wc -c <"$work/r.html")" -lt 1000000 ]
    ! grep -q '<script\|http' "$work/r.html" || false
    [ "$(grep -o '<svg ' "$work/r.html" | wc -l)" -eq "$(grep -o '</svg>' "$work/r.html" | wc -l)" ]
    [ "$(grep -o '<title id=' "$work/r.html" | wc -l)" -eq "$(grep -o '<svg ' "$work/r.html" | wc -l)" ]
    for n in 1 2 6 7 8 9 10; do grep -q "<h2[^>]*>$n\\." "$work/r.html"; done
}

@test "known numbers: four runs by hand, collapse, single class, dropping" {
    # labels aabb: run 1 all right, 2 one wrong, 3 constant a, 4 constant a
    make_csv "$work/m/seed1/p.csv" aabb aabb
    make_csv "$work/m/seed2/p.csv" aabb abbb
    make_csv "$work/m/seed3/p.csv" aabb aaaa
    make_csv "$work/m/seed4/p.csv" aabb aaaa
    $consistency --format json --labels a,b "$work"/m/seed*/p.csv >"$work/a"
    # agreeing pairs by example: 6 of 6, 3 of 6, 2 of 6, 2 of 6; right ones: 6, 3, 1, 1
    grep -q '"CON_numerator": 26,' "$work/a"
    grep -q '"CCON_numerator": 22,' "$work/a"
    grep -q '"CON_denominator": 48,' "$work/a"
    $consistency --labels a,b "$work"/m/seed*/p.csv >"$work/text"
    grep -q 'runs collapsed (2 a single class, 2 not above the majority rate): seeds 3, 4' <(tr -s '\n ' ' ' <"$work/text")
    grep -q 'without the collapsed: S 2, accuracy 87.50, VAR 12.50, CON 75.00, CCON 75.00' "$work/text"
    $consistency --labels a,b --drop-degenerate "$work"/m/seed*/p.csv >"$work/text"
    grep -q '2 collapsed runs left out' "$work/text"
    grep -q ' 87.50  12.50  75.00 .* 75.00$' "$work/text"
    make_csv "$work/c/seed1/p.csv" aaaa aaaa
    make_csv "$work/c/seed2/p.csv" aaaa aaaa
    $consistency --labels a,b "$work"/c/seed*/p.csv | grep -q 'kappa n/a (single class)'
    ! $consistency --format json --labels a,b "$work"/c/seed*/p.csv | grep -qi '[^a-z]nan\|inf[^o]' || false
    $consistency --labels a,b --drop-degenerate "$work"/c/seed*/p.csv | grep -q 'all 2 runs collapsed'
    make_csv "$work/n/seed1/p.csv" a a
    make_csv "$work/n/seed2/p.csv" a b
    $consistency --labels a,b "$work"/n/seed*/p.csv | grep -q '^p .* 0.00 '
    # the sample SD in VAR's place
    [ "$($consistency --ddof 1 --labels a,b "$work"/m/seed[12]/p.csv | awk 'NR == 2 { print $6 }')" = 17.68 ]
}

@test "predictions that are missing, and logits that are not finite" {
    printf 'id,label,prediction\n0,a,a\n1,b,\n2,b,b\n' >"$work/seed1.csv"
    printf 'id,label,prediction\n0,a,a\n1,b,b\n2,b,\n' >"$work/seed2.csv"
    $consistency "$work"/seed?.csv >"$work/out"
    grep -q '2 predictions are missing' "$work/out"
    grep -q 'kappa n/a (missing predictions)' "$work/out"
    printf 'id,label,prediction\n0,a,-1\n1,b,-1\n' >"$work/none-s1.csv"
    printf 'id,label,prediction\n0,a,-1\n1,b,-1\n' >"$work/none-s2.csv"
    $consistency "$work"/none-s?.csv | grep -q '^none-s\* .* 0.00 '
    printf 'id,label,x,y\n0,x,nan,1\n1,y,2,3\n2,x,inf,0\n' >"$work/odd-s1.csv"
    printf 'id,label,x,y\n0,x,2,1\n1,y,2,3\n2,x,4,0\n' >"$work/odd-s2.csv"
    $consistency "$work"/odd-s?.csv | grep -q 'logits that are not finite'
    ! $consistency --format json "$work"/odd-s?.csv | grep -q '"jsd_nats_mean"' || false
}

@test "example sets: refused, or intersected with a count; labels and classes that disagree" {
    make_csv "$work/seed1.csv" aabb aabb
    make_csv "$work/seed2.csv" aabba aabba
    refuses 65 'examples are not those' "$work"/seed1.csv "$work"/seed2.csv
    $consistency --intersect "$work"/seed[12].csv >"$work/out"
    grep -q '1 examples that not all runs have' "$work/out"
    grep -q ' 4 examples' "$work/out"
    make_csv "$work/seed3.csv" abbb aabb
    refuses 65 'the label of example validation-1 differs' "$work"/seed1.csv "$work"/seed3.csv
    make_csv "$work/seed4.csv" aabc aabb
    refuses 65 'the label of example validation-3 differs' "$work"/seed1.csv "$work"/seed4.csv
    sed 's/^/x/; 1s/^x//' "$work/seed1.csv" >"$work/seed5.csv"
    refuses 65 'no example is common' --intersect "$work"/seed1.csv "$work"/seed5.csv
}

@test "imports: index and prediction with gold labels, class scores, regression, what is refused" {
    mkdir -p "$work/hf/seed42" "$work/hf/seed52"
    printf 'index\tprediction\n0\tentailment\n1\tnot_entailment\n2\tentailment\n' >"$work/hf/seed42/predict_results_rte.txt"
    printf 'index\tprediction\n2\tentailment\n0\tentailment\n1\tentailment\n' >"$work/hf/seed52/predict_results_rte.txt"
    printf '0\tentailment\n1\tnot_entailment\n2\tnot_entailment\n' >"$work/gold.tsv"
    $consistency --gold "$work/gold.tsv" "$work"/hf/seed*/predict_results_rte.txt >"$work/out"
    grep -q '^rte .* 50.00  16.67  66.67 .* 33.33$' "$work/out"
    refuses 64 'name a file that has them with --gold' "$work"/hf/seed42/predict_results_rte.txt
    printf '0\tentailment\n' >"$work/less.tsv"
    refuses 65 'has no gold label' --gold "$work/less.tsv" "$work"/hf/seed42/predict_results_rte.txt
    printf 'index\tprediction\n0\tmaybe\n' >"$work/seed7.tsv"
    exits 3 --strict --gold "$work/gold.tsv" "$work/seed7.tsv"
    grep -q "1 prediction of 'maybe', a class outside of the gold labels" "$work/out"
    # one of our own files as gold: ids and names are the same
    three_runs
    seq 0 63 | sed 's/$/\tentailment/' >"$work/seed8.txt"
    $consistency --gold "$(ls "$work"/preds/*s1.bin)" "$work/seed8.txt" | grep -q '64 examples'
    # our own files need none of it
    refuses 64 '--metric changes nothing' --metric mcc "$(ls "$work"/preds/*s1.bin)"
    refuses 64 '--gold changes nothing' --gold "$work/gold.tsv" "$work/preds"
    # probabilities give logits back
    printf 'id,label,no,yes\n0,no,0.75,0.25\n1,yes,0.4,0.6\n' >"$work/p-seed1.csv"
    printf 'id,label,no,yes\n0,no,0.25,0.75\n1,yes,0.4,0.6\n' >"$work/p-seed2.csv"
    $consistency --format json --pairs "$work"/p-seed?.csv >"$work/out"
    # Jensen-Shannon divergence of (.75, .25) and (.25, .75) is .1308 nats, halved by the equal row
    grep -q '"jsd_nats_mean": 0.0654' "$work/out"
    # pi: (2 * .75 * .25 + .4^2 + .6^2) / 2 = .4475
    grep -q '"probabilistic_agreement": 0.4475' "$work/out"
    printf 'id,label,prediction\n0,1.5,1.0\n1,2.5,3.0\n2,3,4\n' >"$work/r-seed1.csv"
    printf 'id,label,prediction\n0,1.5,1.5\n1,2.5,2.5\n2,3,3\n' >"$work/r-seed2.csv"
    $consistency --metric pearson "$work"/r-seed?.csv | grep -q '^r-seed\* .* [0-9.]* '
    $consistency --metric mae --format json "$work"/r-seed?.csv | grep -q '"zeta": 0.3333'
    # a path without any digit
    (cd "$work" && ln -s gold.tsv plain.tsv && refuses 64 'no seed in its path' --gold gold.tsv plain.tsv)
    printf 'id,label,prediction\n0,a\n' >"$work/seed1-short.csv"
    refuses 65 'short.csv:2: 2 fields' "$work/seed1-short.csv"
    printf 'id,label,prediction\n0,a,"b\n' >"$work/seed1-quote.csv"
    refuses 65 'a quote that does not end' "$work/seed1-quote.csv"
    printf 'id,label,prediction\n0,a,\377\n' >"$work/seed1-bytes.csv"
    refuses 65 'not UTF-8' "$work/seed1-bytes.csv"
    printf 'id,label,prediction\n0,a,a\n0,a,a\n' >"$work/seed1-twice.csv"
    refuses 65 'stands twice' "$work/seed1-twice.csv"
    : >"$work/seed1-empty.csv"
    refuses 65 'no predictions' "$work/seed1-empty.csv"
}

@test "comparison of two recipes, models and folders" {
    make_csv "$work/A/seed1.csv" aabbaabb aabbaabb
    make_csv "$work/A/seed2.csv" aabbaabb aabbaaba
    make_csv "$work/A/seed3.csv" aabbaabb aabbaabb
    make_csv "$work/B/seed1.csv" aabbaabb abababab
    make_csv "$work/B/seed2.csv" aabbaabb aabbbbaa
    make_csv "$work/B/seed3.csv" aabbaabb abbbabaa
    $consistency --compare "$work/A" "$work/B" "$work"/?/seed?.csv >"$work/out"
    grep -q 'A - B in points' "$work/out"
    grep -q '^  CON ' "$work/out"
    grep -q 'P(A > B) 1.00' "$work/out"
    $consistency --format json --compare "$work/A" "$work/B" "$work"/?/seed?.csv >"$work/a"
    # (1 + 7/8 + 1) / 3 - (1/2 + 1/2 + 5/8) / 3; 2 of 20 splits are as far apart
    grep -q '"permutation_splits": 20' "$work/a"
    grep -q '"permutation_at_least": 2' "$work/a"
    grep -q '"equal_seeds": 3' "$work/a"
    # 4, 3 and 4 of 8 flip
    grep -q 'Of 3 seeds that A and B share, the change flips 46 % ' <(tr -s ' \n' ' ' <"$work/out")
    grep -q '^equal' <(sed 's/^ *//' "$work/out")
    for format in json jsonl csv md html; do
        $consistency --format $format --compare "$work/A" "$work/B" "$work"/?/seed?.csv >"$work/b"
        grep -q 'A and B share, the change flips 46 %' "$work/b"
    done
    $consistency --format csv --compare "$work/A" "$work/B" "$work"/?/seed?.csv >"$work/b"
    grep -q ',comparison paired change.flips,0\.458333[0-9]*,0\.[0-9]*,0\.[0-9]*,number,' "$work/b"
    # a difference too small for its digits has no sign
    for seed in 1 2; do
        for side in x y; do
            mkdir -p "$work/$side"
            awk -v one=$side$seed 'BEGIN { print "id,label,prediction"; for (i = 0; i < 20000; i++) print i ",a," (i % 9 && !(i == 1 && one == "x1") ? "a" : "b") }' >"$work/$side/seed$seed.csv"
        done
    done
    for format in text md html csv json; do
        $consistency --format $format --compare "$work/x" "$work/y" "$work"/[xy]/seed?.csv >"$work/b"
        [ $format != text ] || grep -q '^  zeta    +0.00 ' "$work/b"
        [ "$(grep -c -e '-0\.0*\([^0-9]\|$\)' "$work/b")" -eq 0 ] || { cat "$work/b"; return 1; }
    done
    # no seed in both; some
    make_csv "$work/C/seed7.csv" aabbaabb abababab
    make_csv "$work/C/seed8.csv" aabbaabb aabbaabb
    $consistency --compare "$work/A" "$work/C" "$work"/[AC]/seed?.csv >"$work/out"
    grep -q 'A and B share no seed, so what the change flips' <(tr -s ' \n' ' ' <"$work/out")
    make_csv "$work/C/seed2.csv" aabbaabb aabbaaba
    $consistency --compare "$work/A" "$work/C" "$work"/[AC]/seed?.csv >"$work/out"
    grep -q 'Of 1 seed that A and B share (2 of A and 2 of B have no partner and no part in it)' <(tr -s ' \n' ' ' <"$work/out")
    refuses 64 "no file is of 'none'" --compare none "$work/B" "$work"/?/seed?.csv
    refuses 64 'is of both sides' --compare "$work/A" metric=accuracy "$work"/?/seed?.csv
    # variants of a kernel are recipes
    $train $short --seeds 1,2,3 --preds "$work/x" >/dev/null 2>&1
    $train $short --seeds 1,2,3 --kernel layernorm_forward=float64 --preds "$work/y" >/dev/null 2>&1
    $consistency --compare "$work/x/" "$work/y/" "$work"/[xy]/*.bin | grep -q 'of 3 equal seeds'
    # the first digits of a recipe are shown once
    local x=$(ls "$work"/x/*.s1.bin) y=$(ls "$work"/y/*.s1.bin)
    x=${x%.s1.bin} y=${y%.s1.bin}
    $consistency --compare "${x##*.}" "${y##*.}" "$work"/[xy]/*.bin >"$work/out"
    grep -q "^  A  tiny ${x##*.}, 3 runs$" "$work/out"
    grep -q "^  B  tiny ${y##*.}, 3 runs$" "$work/out"
    # warnings of two recipes say whose they are
    $consistency --format md "$work"/[xy]/*.bin >"$work/out"
    grep -q "^- rte tiny, recipe ${x##*.}: " "$work/out"
    grep -q "^- rte tiny, recipe ${y##*.}: " "$work/out"
    # they are no two tasks
    refuses 65 'correlate: tiny has several groups of runs for rte' --correlate public "$work"/[xy]/*.bin
    $train $short --task boolq --seeds 1 --preds "$work/z" >/dev/null 2>&1
    $consistency --format html "$work"/[xyz]/*.bin >"$work/out"
    grep -q 'Needs three tasks of known size' "$work/out"
    # two tasks have no correlation; one run has no least stable examples
    $consistency --format html --correlate public "$work"/[xz]/*.bin >"$work/out"
    grep -q 'VAR: needs three tasks, not 2' "$work/out"
    ! grep -q '[^a-z]nan[^a-z]' "$work/out" || false
}

@test "a grid of seeds gives the variance by source" {
    # scores by init 1, 2, 3 (rows) and data 1, 2 (columns): 4 4, 3 3, 1 1 of 4
    for d in 1 2; do
        $train $short --seed-init 1 --seed-data $d --preds "$work/g" >/dev/null 2>&1
        $train $short --seed-init 2 --seed-data $d --preds "$work/g" >/dev/null 2>&1
        $train $short --seed-init 3 --seed-data $d --preds "$work/g" >/dev/null 2>&1
    done
    $consistency "$work"/g/*.bin >"$work/out"
    grep -q 'seed variance init' "$work/out"
    grep -q 'interaction and rest' "$work/out"
    $consistency --format json "$work"/g/*.bin | grep -q '"CON_of_pairs_that_share"'
    $consistency --format html "$work"/g/*.bin | grep -q 'Variance by source'
}

@test "audit of a table, correlations with sizes" {
    printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,80.00,1.00,90.00,75.00\nm,WiC,70.00,1.00,90.00,70.50\nm,QQP,90,1,90,85.05\nm,CB,80,1,90,74\nm,new,80,1,90,80.5\n' >"$work/t.csv"
    $consistency --audit-table "$work/t.csv" >"$work/out"
    grep -q 'RTE .* consistent$' "$work/out"
    grep -q 'WiC .* inconsistent$' "$work/out"
    grep -q 'QQP .* beyond rounding$' "$work/out"
    grep -q 'CB .* inconsistent$' "$work/out"
    grep -q 'new .* inconsistent$' "$work/out"
    for format in json jsonl csv md latex html; do
        $consistency --format $format --audit-table "$work/t.csv" | grep -q 'inconsistent'
    done
    printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,many,1,90,75\n' >"$work/bad.csv"
    refuses 65 "bad.csv:2: zeta 'many' is not a number" --audit-table "$work/bad.csv"
    printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,80,1,0,90,0,75\n' >"$work/bad.csv"
    refuses 65 'bad.csv:2: 8 fields, but the first line has 6' --audit-table "$work/bad.csv"
    printf 'model,task,zeta,VAR,CON,CCON,N\nm,RTE,80,1,90,75,277\nm,RTE,80,1,90,75\n' >"$work/bad.csv"
    refuses 65 'bad.csv:3: 6 fields, but the first line has 7' --audit-table "$work/bad.csv"
    printf '{"m": {"RTE": [1, 2]}}' >"$work/bad.json"
    refuses 65 'm RTE: not four numbers' --audit-table "$work/bad.json"
    printf '{}' >"$work/none.json"
    refuses 65 'no cell' --audit-table "$work/none.json"
    printf 'RTE\t2490\nWiC\tmany\n' >"$work/sizes.tsv"
    refuses 65 'sizes.tsv:2: not a line task TAB size' --audit-table "$work/t.csv" --correlate "$work/sizes.tsv"
    refuses 65 'no size of task new' --audit-table "$work/t.csv" --correlate public
    [ -f "$goldens/stats/table1.json" ] || skip "needs ../shared"
    $consistency --audit-table "$goldens/stats/table1.json" --correlate public >"$work/out"
    [ "$(grep ' inconsistent$' "$work/out" | awk '{ print $1, $2 }' | tr '\n' ';')" = "RoBERTa-large CB;RoBERTa-large RTES;" ]
    grep -q 'RoBERTa-large    log10 VAR  n 12  -0.434' "$work/out"
}

@test "ten thousand small files" {
    mkdir "$work/many"
    (cd "$work/many" && awk 'BEGIN { for (s = 1; s <= 10000; s++) { f = "seed" s ".csv"; printf "id,label,prediction\n0,a,%s\n1,b,b\n", s % 3 ? "a" : "b" >f; close(f) } }')
    (cd "$work/many" && find . -name 'seed*.csv' -print0 | xargs -0 -n 10000 -s 2000000 $consistency >"$work/out")
    # 3333 of 10000 wrong on the first: CON = (1 + (3333 3332 + 6667 6666) / (10000 9999)) / 2
    grep -q '^seed\* .* 10000 3333! .* 77.78 ' "$work/out" || { head -n 3 "$work/out"; return 1; }
}

@test "texts of unstable examples come from the data they were made of" {
    [ -d ../shared/data ] || skip "needs ../shared"
    $train --task rte --data ../shared/data --model tiny --max-train 64 --max-eval 40 --epochs 1 --seeds 1,2,3 --preds "$work/preds" >/dev/null 2>&1
    $consistency --format json --examples 3 --data ../shared/data "$work"/preds/*.bin | grep -q '"text": '
    $consistency --format csv --examples 3 --data ../shared/data "$work"/preds/*.bin 2>/dev/null | sed -n 2p | grep -q '|'
}
