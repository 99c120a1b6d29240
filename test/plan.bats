# Runs beside published tables: consistency --reference.

load common

setup() {
    workplace
    cd "$work"
}

# exits CODE ARGUMENTS...
exits() {
    local code=$1 status=0
    shift
    $consistency "$@" >out 2>err || status=$?
    [ "$status" -eq "$code" ] || { echo "exit code $status, expected $code: $(cat err)"; return 1; }
}

# refuses CODE PATTERN ARGUMENTS...: that exit code, one line on stderr that matches, nothing on stdout
refuses() {
    local code=$1 pattern=$2
    shift 2
    exits "$code" "$@"
    grep -q -e "$pattern" err && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] || { echo "message: $(cat err out)"; return 1; }
}

# has TEXT...: each stands in a line of the output
has() {
    local text
    for text; do
        grep -q -F -e "$text" out || { echo "no '$text' in: $(cat out)"; return 1; }
    done
}

# make_run FOLDER RUN LABELS PREDICTIONS: characters are class names
make_run() {
    mkdir -p "$1$2"
    { echo id,label,prediction; paste -d, <(seq 0 $((${#3} - 1))) <(fold -w1 <<<"$3") <(fold -w1 <<<"$4"); } >"$1$2/predict_results_rte.csv"
}

# Four runs of eight examples: right in 8, 7, 6 and 7 of them
four_runs() {
    local run=0 preds
    for preds in aaaabbbb aaaabbba aaaabbaa baaabbbb; do
        run=$((run + 1))
        make_run "${1:-run}" $run aaaabbbb $preds
    done
}

# table LINE...: of the user's, t.csv
table() {
    { echo model,task,zeta,VAR,CON,CCON,K,N,S; printf '%s\n' "$@"; } >t.csv
}

@test "reference: our numbers with their intervals, theirs, the difference and the verdict, in every format" {
    local format
    four_runs
    table m,RTE,80.0,12.0,75.0,67.5,2,1000,4 x,RTE,87.5,33.1,46.0,10.1,2,1000,10 y,CB,80,1,90,75,3,56,10
    exits 0 --reference t.csv run?/*.csv
    # VAR is compared as one of four runs: 33.1 of ten is 30.2 of four; CON of 46.0 is as far from ours as two such errors go
    printf '%s\n' 'rte   …predict_results_rte.csv   4   87.50    8.84   79.17   77.08' \
        '        from                         71.26    5.01   46.30   39.66' \
        '        to                          103.74   32.96  100.00  100.00' \
        'RTE   m                          4    80.0    12.0    75.0    67.5  consistent' \
        '        difference                   +7.50   -3.16   +4.17   +9.58' \
        'RTE   x                         10    87.5    33.1    46.0   10.1*  inconsistent' \
        '        difference                   +0.00  -21.38  +33.17  +66.98' >expected
    sed -n '/^task  runs/,/^  [a-zR]/p' out | sed '1d;/^  [a-zR]/,$d' | diff expected -
    grep -q '^  RTE of x, inconsistent: two classes: CCON' out
    grep -q '^  rte, run\*/predict_results_rte.csv: 8 examples' out || false
    grep -q '^  without runs here: CB$' out
    for format in text md latex html; do
        exits 0 --format $format --reference t.csv run?/*.csv
        has 77.08 103.74 '+33.17' inconsistent 'RTE of x, inconsistent: two classes'
    done
    exits 0 --format csv --reference t.csv run?/*.csv
    has 'reference m CON.ours,79.166666' 'reference x CCON.difference,66.98333' 'reference x verdict,inconsistent,,,text,4,8'
    exits 0 --format jsonl --reference t.csv run?/*.csv
    tail -n 1 out >last
    grep -q '"reference":{"file":"t.csv","decimals":1,"rows":\[{' last
    grep -q '"VAR":{"ours":8.838834764[0-9]*,"ci95":\[5.0071[0-9]*,32.956[0-9]*\],"reference":33.[0-9]*,"difference":-21.3[0-9]*,"inside":true}' last
    exits 0 --ddof 1 --ci none --reference t.csv run?/*.csv
    grep -q '^        to  *103.74  *38.05  *n/a  *n/a$' out
    grep -q '^RTE   m  *4  *80.0  *13.9  *75.0  *67.5  consistent$' out
    exits 3 --strict --reference t.csv run?/*.csv
    sed -i 2,3d t.csv && printf 'm,RTE,80.0,12.0,75.0,67.5,2,1000,4\n' >>t.csv
    exits 0 --strict --reference t.csv run?/*.csv # the impossible cell, if any, is not beside ours
}

@test "reference: which cells a group meets" {
    mkdir -p preds
    $train --task rte --model tiny --data builtin --max-train 32 --max-eval 64 --epochs 1 --quiet --seeds 1,2,3 --preds preds >/dev/null 2>&1
    # by name: the study's; RTE of GLUE is RTEG, whatever else is in the table
    exits 0 --reference table1 preds
    [ "$(grep -c '  difference' out)" -eq 2 ]
    has 'beside table1 (arXiv 2503.07329v2, Table 1)' 'RTEG of RoBERTa-large, beyond rounding' 'rte, tiny: 64 examples, the table'
    # a model of the group's name, in part, leaves out the others
    table tiny-7M,RTE,80,12,95,77.5,2,8,4 other,RTE-GLUE,80,12,95,77.5,2,8,4 tiny-7M,RTES,80,12,95,77.5,2,8,4
    exits 0 --reference t.csv preds
    [ "$(grep -c '  difference' out)" -eq 1 ]
    # an import of that name is of either benchmark
    four_runs
    exits 0 --reference table1 run?/*.csv
    [ "$(grep -c '  difference' out)" -eq 4 ]
    # a group that is not there is said to be missing
    mkdir own && cp run1/*.csv own/run-1.csv && cp run2/*.csv own/run-2.csv
    exits 0 --min-seeds 2 --reference table1 run?/*.csv own/*.csv
    has ', own/run-*.csv: not in the table'
    [ "$(grep -c '  difference' out)" -eq 4 ]
    # both sides of a comparison; another metric; one run
    four_runs A/run
    four_runs B/run
    exits 0 --metric mcc --compare A B A/*/*.csv B/*/*.csv --reference table1
    exits 0 --reference table1 run1/*.csv
    grep -q '^        from  *n/a  *n/a  *n/a  *n/a$' out
    # the same table in a file
    [ -f "$goldens/stats/table1.json" ] || skip "needs ../shared"
    exits 0 --format json --audit-table table1
    grep -v '"file"\|"source"' out >named
    exits 0 --format json --audit-table "$goldens/stats/table1.json"
    grep -v '"file"\|"source"' out | diff named -
}

@test "reference: a star counts the error of the published number too" {
    four_runs # zeta 87.5, s 10.21
    # means: Welch's test. 79 of ten runs that spread as little is within both errors, of a hundred it is too, 60 is not
    table m,RTE,79,0.5,75,62,2,1000,10 n,RTE,60,0.5,75,62,2,1000,10 o,RTE,105,,75,62,2,1000,4
    exits 0 --reference t.csv run?/*.csv
    grep -q '^RTE   m  *10  *79.0 ' out
    grep -q '^RTE   n  *10  *60.0\* ' out
    grep -q '^RTE   o  *4  *105.0 ' out # 17.5 off, 1.7 standard errors of both, though outside of ours
    # deviations: F with 3 and 3 degrees of freedom reaches from 1/15.4 to 15.4
    table m,RTE,87.5,33.9,75,67.5,2,1000,4 n,RTE,87.5,35.9,75,67.5,2,1000,4
    exits 0 --reference t.csv run?/*.csv
    grep -q '^RTE   m  *4  *87.5  *33.9 ' out
    grep -q '^RTE   n  *4  *87.5  *35.9\* ' out
}

@test "reference: where no run deviates, means are compared as they are printed" {
    for run in 1 2 3; do make_run run $run aaabbb aaabba; done # zeta 83.33
    table m,RTE,83.3,0.0,100,83.3,2,1000,4 n,RTE,83.4,0.0,100,83.4,2,1000,4
    exits 0 --reference t.csv run?/*.csv
    grep -q '^RTE   m  *4  *83.3  *0.0 ' out
    grep -q '^RTE   n  *4  *83.4\*  *0.0 ' out
}

@test "reference: a name is a part of another by whole words" {
    $train --task rte --model tiny --data builtin --max-train 32 --max-eval 64 --epochs 1 --quiet --seeds 1,2 --preds preds --save saved >/dev/null 2>&1
    mv saved/s1 RoBERTa-tiny1B
    $train --task rte --model RoBERTa-tiny1B --data builtin --max-train 32 --max-eval 64 --epochs 1 --quiet --seeds 1,2 --preds p >/dev/null 2>&1
    table BERT,RTE,80,12,95,77.5,2,8,4 BERTa,RTE,80,12,95,77.5,2,8,4 other,RTE,80,12,95,77.5,2,8,4
    exits 0 --reference t.csv p
    [ "$(grep -c '  difference' out)" -eq 3 ] # no cell is named so: all
    for model in RoBERTa roberta_tiny 'Tiny 1B' RoBERTa-tiny-1B-LoRA; do
        table "$model,RTE,80,12,95,77.5,2,8,4" BERT,RTE,80,12,95,77.5,2,8,4 tiny-1,RTE,80,12,95,77.5,2,8,4
        exits 0 --reference t.csv p
        grep -q "^RTE   $model  " out
        run grep '^RTE   BERT' out
        [ "$status" -eq 1 ]
    done
    # the point of a number parts nothing
    mv RoBERTa-tiny1B tiny-3.2
    $train --task rte --model tiny-3.2 --data builtin --max-train 32 --max-eval 64 --epochs 1 --quiet --seeds 1,2 --preds q >/dev/null 2>&1
    table tiny-3,RTE,80,12,95,77.5,2,8,4 tiny-3.2-LoRA,RTE,80,12,95,77.5,2,8,4 2,RTE,80,12,95,77.5,2,8,4
    exits 0 --reference t.csv q
    grep -q '^RTE   tiny-3.2-LoRA  ' out
    [ "$(grep -c '  difference' out)" -eq 1 ]
}

@test "reference: a test split is not in a table of dev sets, and is said to be none" {
    mkdir -p data/RTE preds
    for f in train dev; do { printf 'index\tsentence1\tsentence2\tlabel\n'; for i in $(seq 0 15); do printf '%d\ta %d\tb\t%s\n' $i $i $([ $((i % 2)) = 0 ] && echo entailment || echo not_entailment); done; } >data/RTE/$f.tsv; done
    cut -f1-3 data/RTE/dev.tsv >data/RTE/test.tsv
    $train --task rte --model tiny --data data --predict-test --epochs 1 --quiet --seeds 1,2 --preds preds >/dev/null 2>&1
    exits 0 --reference table1 preds
    has ': of the split test; a table has scores of dev sets'
}

@test "reference: a table that has not all four numbers is not audited" {
    four_runs
    printf 'model,task,zeta,VAR\nm,RTE,80.0,6.0\nx,RTE,120,\n' >t.csv
    exits 0 --reference t.csv run?/*.csv
    grep -q '^RTE   m  *10  *80.0  *6.0  *n/a  *n/a  not checked$' out
    grep -q '^RTE   x  *10  *120.0\*  *n/a  *n/a  *n/a  not checked$' out
    grep -q '^        difference  *-32.50  *n/a  *n/a  *n/a$' out
    refuses 65 "no column 'CON'" --audit-table t.csv
    printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,80.0,6.0,,\n' >t.csv
    exits 0 --strict --reference t.csv run?/*.csv
    refuses 65 "t.csv:2: CON '' is not a number" --audit-table t.csv
    printf '{"m": {"RTE": [80, 6, null, 70]}}' >t.json
    exits 0 --reference t.json run?/*.csv
    grep -q '^RTE   m  *10  *80  *6  *n/a  *70  not checked$' out
    refuses 65 'm RTE: not four numbers' --audit-table t.json
}

@test "reference: what it refuses" {
    four_runs
    refuses 66 'cannot open none.csv' --reference none.csv run?/*.csv
    refuses 64 'no files' --reference table1
    refuses 64 "^consistency: --reference '': an empty value" --reference '' run?/*.csv
    refuses 64 'did you mean --reference' --referense table1 run?/*.csv
    table m,RTE,80,1,90
    refuses 65 't.csv:2: 5 fields, but the first line has 9' --reference t.csv run?/*.csv
    table m,RTE,,1,90,75,2,8,4
    refuses 65 "t.csv:2: zeta '' is not a number" --reference t.csv run?/*.csv
    table m,RTE,80,1,90,75,2,,4
    refuses 65 "t.csv:2: N '' is not a whole number from 1" --reference t.csv run?/*.csv
    printf '{"m": {"RTE": [null, 1, 90, 75]}}' >t.json
    refuses 65 't.json: m RTE: not four numbers zeta, VAR, CON, CCON, of which the last three may be null' --reference t.json run?/*.csv
    printf '{"m": {"RTE": [80, 1, "90", 75]}}' >t.json
    refuses 65 't.json: m RTE: not four numbers' --reference t.json run?/*.csv
    printf '{"m": {"RTE": [80, 1' >t.json
    refuses 65 't.json:1:' --reference t.json run?/*.csv
    printf 'model,task,VAR,CON,CCON\nm,RTE,80,1,90\n' >t.csv
    refuses 65 "no column 'zeta'" --reference t.csv run?/*.csv
    table m,RTX,80,1,90,75,2,8,4
    refuses 65 't.csv: m, RTX: no task of GLUE or SuperGLUE, and none of the runs (rte); name it as they do' --reference t.csv run?/*.csv
    table m,CB,80,1,90,75,3,8,4
    refuses 65 't.csv: no cell is of a task of the runs (rte)' --reference t.csv run?/*.csv
    table m,RTE,80,1,90,75,2,8,4 m,RTEG,81,1,90,76,2,8,4
    refuses 65 't.csv: two cells of m are of the task rte: RTE and RTEG; leave one' --reference t.csv run?/*.csv
    table
    refuses 65 't.csv: no cell' --reference t.csv run?/*.csv
}

@test "plan: widths and differences from runs, from numbers, and of equal seeds, in every format" {
    local format
    four_runs
    exits 0 --plan --want VAR=20%,zeta=5,CON=10,delta-zeta=10,delta-CON=20 run?/*.csv
    # s 10.206: by hand s t / sqrt(S) and the chi-square factors; 53 seeds bring the interval of s within 20 %
    has 'plan for rte, run*/predict_results_rte.csv: S 4, N 8, s 10.21, zeta 87.50, CON' \
        '    4   -43 %  +273 %  ±16.24' '   10   -31 %   +83 %   ±7.30' '  100   -12 %   +16 %   ±2.03' 'VAR within 20 %             53'
    grep -q '^zeta within 5 points  *19  *8 to 225$' out
    # of the runs at hand the plan says what their report says
    grep -q '^rte .* 79.17 \[ 46.30, 100.00\]' out
    grep -q '^    4   -43 %  +273 %  ±16.24  ±32.87  ' out
    for format in md latex html; do
        exits 0 --format $format --plan --want VAR=20%,CON=10 run?/*.csv
        has '±16.24' 273 'plan for rte, run' 'CON within 10 points'
    done
    exits 0 --format csv --plan --want VAR=20%,zeta=5 run?/*.csv
    has 'plan 4 seeds.zeta,16.24' 'plan 10 seeds.SD_high,1.8256' 'plan VAR 20 %.seeds,53'
    exits 0 --format jsonl --plan --want zeta=5 run?/*.csv
    tail -n 1 out | grep -q '"plans":\[{"from":"runs",.*"S":4.0,"N":8.0,"SD":10.20[0-9]*,.*"CON_components":{"examples":.*"wanted":\[{"goal":"zeta"'
    # numbers: what is not known is n/a, what cannot be had is none
    exits 0 --plan --given zeta=85.02,VAR=1.48,CON=91.09,N=277 --want CON=1,VAR=0.5,delta-zeta=1
    grep -q '^CON within 1 point  *none  *16[0-9][0-9]$' out
    grep -q '^VAR within 0.5 points  *2[0-9]$' out
    exits 0 --plan --given N=277 --want CON=1,VAR=20%
    grep -q '^CON within 1 point  *n/a  *n/a$' out
    grep -q '^VAR within 20 %  *53$' out
    # a higher level needs more
    exits 0 --plan --level 0.99 --given N=277 --want VAR=20%
    grep -q '^VAR within 20 %  *9[0-9]$' out
    # equal seeds: what the change does to each seed, far less than what two sets of runs do
    for run in 1 2 3 4; do mkdir -p A/run$run B/run$run; cp run$run/*.csv A/run$run; cp run$run/*.csv B/run$run; done
    sed -i 's/^7,b,b/7,b,a/' B/run1/*.csv
    exits 0 --plan --want zeta=1,delta-zeta=10 --compare A B A/*/*.csv B/*/*.csv
    has 'plan for rte, A - B at 4 equal seeds, 8 examples: s 6.25'
    [ "$(grep -c '^zeta within' out)" -eq 2 ]
    [ "$(grep -c '^zeta A - B of' out)" -eq 3 ]
    # too few runs
    exits 0 --plan run[12]/*.csv
    has 'CON: four runs or more are needed'
    exits 0 --plan run1/*.csv
    has 'plan: two runs of a group or more are needed'
}

@test "plan: straight from a table, and of a metric that is not the accuracy" {
    exits 0 --plan --reference table1 --want CON=3
    [ "$(grep -c '^plan for ' out)" -eq 24 ]
    has 'plan for RTEG, RoBERTa-large: S 10, N 277, s 1.56, zeta 85.02, CON 91.09' 'CON: zeta is mcc, which does not say how many are right'
    # the same numbers as by hand
    sed -n '/^plan for RTEG, RoBERTa/,/^wanted/p' out | sed 1d >cell
    exits 0 --plan --given zeta=85.02,VAR=1.48,CON=91.09,N=277 --want CON=3
    sed -n '/^plan for/,/^wanted/p' out | sed 1d | diff cell -
    has 'zeta is taken as the accuracy; where it is another metric, give accuracy too'
    exits 0 --plan --given zeta=60,accuracy=85.02,CON=91.09,N=1043
    run grep 'is taken as the accuracy' out
    [ "$status" -eq 1 ]
    has 'zeta 60.00, CON 91.09'
    refuses 64 'have accuracy 80, CON 60' --plan --given zeta=60,accuracy=80,CON=60,N=100
    refuses 64 'given N=8 with --reference: one of them' --plan --given N=8 --reference table1
    refuses 64 'no files' --reference table1
    exits 0 --plan --format json --reference table1
    grep -q '"from":"table"\|"from": "table"' out
}

@test "plan: a cell that lacks a number, and its N, has that of the public task" {
    printf '{"m": {"rte": [72.0, 1.5, 91.0, null], "mine": [72.0, 1.5, 91.0, null]}}' >t.json
    exits 0 --plan --reference t.json --want CON=1
    has 'plan for rte, m: S 10, N 277, s 1.58, zeta 72.00, CON 91.00' 'plan for mine, m: S 10, N n/a' 'CON: the table has no N'
    [ "$(grep -c '^CON within 1 point  *none  *[1-9][0-9]*$' out)" -eq 1 ]
    [ "$(grep -c '^CON within 1 point  *n/a  *n/a$' out)" -eq 1 ]
}

@test "plan: an end that no number of seeds reaches is none, and --ascii has no sign of Unicode" {
    four_runs
    exits 0 --plan --want zeta=0.02 run?/*.csv
    grep -Eq '^zeta within 0.02 points  *none|^zeta within 0.02 points  *[0-9]+  *[0-9]+ to none$' out
    exits 0 --plan --want zeta=0.1 run?/*.csv
    grep -Eq '^zeta within 0.1 points  *[0-9]+  *[0-9]+ to none$' out
    exits 0 --plan --ascii --given zeta=85.02,VAR=1.48,CON=91.09,N=277
    has '+-1.12  +-2.34'
    run grep -P '[^\x00-\x7F]' out
    [ "$status" -eq 1 ]
}

@test "plan: what it refuses" {
    four_runs
    refuses 64 'no files' --plan
    refuses 64 'no files' --given N=8
    refuses 64 -- '--want is of --plan' --want CON=1 run?/*.csv
    refuses 64 -- '--given is of --plan' --given N=8 run?/*.csv
    refuses 64 '--given N=8: numbers or files, not both' --plan --given N=8 run?/*.csv
    refuses 64 "--want con=1: 'con' is none of VAR, zeta, CON, delta-zeta, delta-CON" --plan --want con=1 run?/*.csv
    refuses 64 "--want CON: 'CON' is not CON=NUMBER, in points or with %" --plan --want CON run?/*.csv
    refuses 64 "--want CON=1x: 'CON=1x' is not CON=NUMBER" --plan --want CON=1x run?/*.csv
    refuses 64 "'CON=-1' is not CON=NUMBER" --plan --want zeta=1,CON=-1 run?/*.csv
    refuses 64 "'CON=0' is not CON=NUMBER" --plan --want CON=0 run?/*.csv
    refuses 64 "'CON=nan' is not CON=NUMBER" --plan --want CON=nan run?/*.csv
    refuses 64 'CON is named twice' --plan --want CON=1,CON=2 run?/*.csv
    refuses 64 "'SD' is none of zeta, VAR, CON, N, S" --plan --given SD=1
    refuses 64 "'N=20%' is not N=NUMBER" --plan --given N=20%
    refuses 64 'zeta, CON and accuracy are at most 100 %' --plan --given zeta=101
    refuses 64 'S and N are whole numbers from 2' --plan --given N=1
    refuses 64 'S and N are whole numbers from 2' --plan --given N=10.5
    refuses 64 'S and N are whole numbers from 2' --plan --given S=1
    refuses 64 'no runs of the model .* have zeta 80, CON 60 and VAR 0; leave out CON' --plan --given zeta=80,CON=60,N=100
    refuses 64 'zeta 80, CON 95 and VAR 30' --plan --given zeta=80,CON=95,N=100,VAR=30
    refuses 64 "^consistency: --want '': an empty value" --plan --want '' run?/*.csv
}
