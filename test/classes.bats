# How consistency understands files made elsewhere: classes, scores, seeds. Run by test/run.sh; PROGRAMS is where the
# programs are.

load common

setup() {
    workplace
    cd "$work"
}

# refuses CODE PATTERN ARGUMENTS...: that exit code, one line on stderr that matches, nothing on stdout
refuses() {
    local code=$1 pattern=$2 status=0
    shift 2
    $consistency "$@" >out 2>err || status=$?
    [ "$status" -eq "$code" ] && grep -q -e "$pattern" err && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] ||
        { echo "exit code $status, expected $code ($pattern): $(cat err)"; return 1; }
}

# gives "STATISTIC=VALUE ..." ARGUMENTS...: the numbers of the first group, rounded to 4 decimals
gives() {
    local expected=$1 pair found
    shift
    $consistency --format csv "$@" >out 2>err || { echo "exit code $?: $(cat err)"; return 1; }
    for pair in $expected; do
        found=$(awk -F, -v key="${pair%%=*}" '$6 == key { printf "%.4f", $7; exit }' out)
        [ "$found" = "$(printf %.4f "${pair#*=}")" ] || { echo "${pair%%=*} is '$found', expected ${pair#*=}"; return 1; }
    done
}

# says PATTERN: on the standard error of the last gives (its warnings) or in its rows
says() {
    cat out err | grep -q -e "$1" || { echo "not said: $1"; cat out err; return 1; }
}

# runs DIR GOLD PREDICTIONS...: DIR/seed1/p.csv, ...; values parted by commas
runs() {
    local dir=$1 gold=$2 seed=0
    shift 2
    for predictions in "$@"; do
        seed=$((seed + 1))
        mkdir -p "$dir/seed$seed"
        { echo "id,label,prediction"; paste -d, <(seq 0 $(($(tr -cd , <<<"$gold" | wc -c)))) <(tr , '\n' <<<"$gold") \
            <(tr , '\n' <<<"$predictions"); } >"$dir/seed$seed/p.csv"
    done
}

@test "a predicted class that gold lacks is a class of its own" {
    runs a 0,2,2 0,1,2 0,1,2 0,1,2
    gives "zeta=.66667 CCON=.66667 K=3" a/seed*/p.csv
    says "3 predictions of '1', a class outside of the gold labels: one of its own, always wrong"
    gives "zeta=.6123724" --metric mcc a/seed*/p.csv
    gives "zeta=.555556" --metric macro-f1 a/seed*/p.csv
    # one run alone predicts it, and it is a class of the other run too
    runs b 0,2,2,0 0,1,1,0 0,2,2,0
    gives "zeta=.75 CON=.5 CCON=.5 K=3" b/seed*/p.csv
    # two such classes are two: the runs do not agree
    runs c no,yes,yes no,maybe,yes no,perhaps,yes
    gives "zeta=.666667 CON=.666667 CCON=.666667 K=4" c/seed*/p.csv
    says "2 predictions of 'maybe', 'perhaps', classes outside of the gold labels"
    # with a list of classes too, and F1 is still that of the second
    gives "zeta=.666667" --labels no,yes --metric f1 c/seed*/p.csv
    says "outside of the list of classes"
    run $consistency --strict --min-seeds 2 b/seed*/p.csv
    [ "$status" -eq 3 ]
    # more labels than the data have
    gives "zeta=.666667 K=5" --labels 0,1,2,3,4 a/seed*/p.csv
    refuses 65 "the gold label '2' is none of the 2 classes of --labels" --labels 0,1 a/seed*/p.csv
    refuses 64 "'1.0' is empty or named twice" --labels 1,1.0 a/seed*/p.csv
    refuses 64 "'' is empty or named twice" --labels a,,b a/seed*/p.csv
    refuses 64 "a name that is not UTF-8" --labels "$(printf 'a,\377,b')" a/seed*/p.csv
}

@test "predictions none of which is a class are refused where classes have names" {
    runs a true,false,true True,False,True True,True,True
    refuses 65 "seed1/p.csv: no prediction is one of the classes (false, ...), as '.*'; names are matched as text" a/seed*/p.csv
    runs b yes,no,yes Y,N,Y Y,Y,N
    refuses 65 "no prediction is one of the classes" --labels no,yes b/seed*/p.csv
    runs c cat,dog,cat cow,cow,cow cow,cow,cat # one run shares a name: its other is a class of its own
    gives "zeta=.16667 CON=.66667" c/seed*/p.csv
    runs d 0,0,0 1,1,1 1,1,1 # numbers are wrong, not misspelled
    gives "zeta=0 CON=1" d/seed*/p.csv
}

@test "a number is matched as a number, a name as text" {
    runs a 1.0,1.0,2.0 1,1,1 01,+1,1e0
    gives "zeta=.666667 CON=1 K=2" a/seed*/p.csv
    runs b 1,2,3,-1,-0 1.0,2.00,3.,-1.0,0 '"1","02"," 3 ",-1,0.0'
    gives "zeta=1 CON=1 K=5" b/seed*/p.csv
    # -1 and 0 are two classes, and so is what a double would round to one
    runs c 0,-1,9007199254740993 -1,-1,9007199254740992 -1,-1,9007199254740992
    gives "zeta=.333333 CON=1 K=4" c/seed*/p.csv
    # names that differ in case only are two
    runs d Yes,no,no yes,no,no Yes,no,no
    gives "zeta=.833333 CON=.666667 K=3" d/seed*/p.csv
    says "1 prediction of 'yes'"
    says "'Yes' and 'yes' are two classes: names are matched as text"
    # what transformers writes for classes without names
    runs e 0,1,1 LABEL_0,LABEL_1,LABEL_0 LABEL_0,LABEL_1,LABEL_1
    gives "zeta=.833333 K=2" e/seed*/p.csv
    # empty and NaN predictions are none; the MCC takes them for a class that no example has, as sklearn does a text
    runs f 0,1,1,0 0,1,,0 0,1,nan,0
    gives "zeta=.75 missing=2" f/seed*/p.csv
    gives "zeta=.67082039" --metric mcc f/seed*/p.csv
    # hidden labels are said
    runs g 0,1,,0 0,1,1,0 0,1,1,1
    gives "zeta=.833333" g/seed*/p.csv
    says "25 % of the gold labels are hidden"
    runs h 3.5,2.25 3,2 3,2
    refuses 65 "h/seed1/p.csv: '2.25' is no class; choose --metric pearson" h/seed*/p.csv
    runs i 0,1 0.83,0.2 0.9,.1
    refuses 65 "'0.1' is no class; .* give columns of scores instead of a probability" i/seed*/p.csv
    gives "zeta=-1" --metric pearson i/seed1/p.csv
    # Windows' ends of lines and a byte order mark
    mkdir -p w/seed1
    printf '\357\273\277id,label,prediction\r\n0,1,1.0\r\n1,0,1\r\n' >w/seed1/p.csv
    gives "zeta=.5 K=2" w/seed1/p.csv
}

@test "ids beside names: the order is known, or asked for" {
    runs a not_equivalent,equivalent,not_equivalent 0,1,0 0,1,1
    gives "zeta=.833333 K=2" a/seed*/p.csv
    says "classes_from,\"not_equivalent, equivalent (names; numbers are ids in the order of the task mrpc)\""
    # the reverse, and spelled otherwise
    runs b 1,0,1 True,False,False True,False,True
    gives "zeta=.833333" b/seed*/p.csv
    says "order of the task boolq"
    runs c "Not Acceptable?,x" 0,1
    refuses 65 "the gold label 'Not Acceptable?' is a name and the prediction '0' a number.*--labels A,B" c/seed1/p.csv
    runs d spam,ham,spam 1,0,1 1,0,0
    refuses 65 "with --labels A,B" d/seed*/p.csv
    gives "zeta=.833333" --labels ham,spam d/seed*/p.csv
    gives "zeta=.166667" --labels spam,ham d/seed*/p.csv
    # three classes: MNLI and CB number them otherwise; the path says which it is
    runs e entailment,neutral,contradiction 0,1,2 0,1,1
    refuses 65 "with --labels A,B" e/seed*/p.csv
    mkdir mnli CB && cp -r e mnli && cp -r e CB
    gives "zeta=.833333" mnli/e/seed*/p.csv
    gives "zeta=.5" CB/e/seed*/p.csv
    mkdir mnli/cb && cp -r e mnli/cb
    refuses 65 "with --labels A,B" mnli/cb/e/seed*/p.csv
    # not all of the task's names stand there
    runs mnli/f neutral,neutral 1,1 1,0
    gives "zeta=.75" mnli/f/seed*/p.csv
    # WNLI has RTE's names the other way round
    runs wnli/a entailment,not_entailment 1,0
    gives "zeta=1" wnli/a/seed1/p.csv
    says "order of the task wnli"
    runs i entailment,not_entailment 0,1
    gives "zeta=1" i/seed1/p.csv
    runs rte/a entailment,not_entailment 0,1
    gives "zeta=1" rte/a/seed1/p.csv
    # an id that no class has is a class of its own, and -1 is none
    runs g not_equivalent,equivalent,equivalent 0,7,-1
    gives "zeta=.333333 missing=1 K=3" g/seed1/p.csv
    says "1 prediction of '7'"
    # numbers and names in one column
    runs h 0,neutral,0 0,neutral,neutral
    refuses 65 "with --labels A,B" h/seed1/p.csv
    gives "zeta=.666667" --labels 0,neutral h/seed1/p.csv
}

@test "one of our files as gold says the order of its classes" {
    $train --task rte --model tiny --data builtin --max-train 32 --max-eval 16 --epochs 1 --quiet --seed 1 --preds p >/dev/null 2>&1
    cp p/*s1.bin gold.bin
    mkdir -p x/seed1
    seq 0 15 | sed 's/$/\t1/' >x/seed1/q.txt
    seq 0 15 | sed 's/$/\tnot_entailment/' >x/seed1/r.txt
    $consistency --format json --gold gold.bin x/seed1/q.txt | grep '"zeta"' >ids
    $consistency --format json --gold gold.bin x/seed1/r.txt | grep '"zeta"' >names
    cmp ids names
    gives "K=2" --gold gold.bin x/seed1/q.txt
    says 'entailment, not_entailment (gold.bin; numbers are ids in their order)'
    seq 0 15 | sed 's/$/\tperhaps/' >x/seed1/r.txt
    refuses 65 "no prediction is one of the classes" --gold gold.bin x/seed1/r.txt
    sed -i '1s/perhaps/entailment/' x/seed1/r.txt
    gives "K=3" --gold gold.bin x/seed1/r.txt
    says "15 predictions of 'perhaps', a class outside of the list of classes"
    refuses 65 "is none of the 2 classes of --labels" --gold gold.bin --labels x,y x/seed1/q.txt
}

@test "gold labels: what is refused" {
    mkdir -p a/seed1
    printf '0\tx\n1\ty\n' >a/seed1/p.tsv
    printf '0\tx\n1\ty\n0\ty\n' >g.tsv
    refuses 65 'g.tsv: the id of label 3 stands twice' --gold g.tsv a/seed1/p.tsv
    printf 'id,text,answer\n0,one,x\n1,two,y\n' >g.csv
    refuses 65 "g.csv:1: no column 'label'" --gold g.csv a/seed1/p.tsv
    printf ' Index , LABEL \n0.0,x\n1.0,x\n' >g.csv
    gives "zeta=.5" --gold g.csv a/seed1/p.tsv
    # a class of the name of a column
    printf '0\tlabel\n1\tx\n' >g.tsv
    gives "zeta=0" --gold g.tsv a/seed1/p.tsv
    printf 'index\tlabel\n' >g.tsv
    refuses 65 'no labels' --gold g.tsv a/seed1/p.tsv
    printf 'id,label,Label,prediction\n0,x,y,x\n' >a/seed1/p.csv
    refuses 65 "two columns 'label'" a/seed1/p.csv
    printf 'id,label,prediction\n' >a/seed1/p.csv
    refuses 65 "no predictions" a/seed1/p.csv
    printf '0,1,1\n1,0,0\n' >a/seed1/p.csv
    refuses 65 "a first line without names" a/seed1/p.csv
}

@test "a table whose lines do not fit together is refused" {
    mkdir -p a/seed1
    # a comma without quotes shifts what stands behind it
    printf 'id,text,label,prediction\n0,well,1,1\n1,no, thanks,1,1\n' >a/seed1/p.csv
    refuses 65 'p.csv:3: 5 fields, but the first line has 4' a/seed1/p.csv
    printf 'id,label,prediction\n0,1,1,9\n' >a/seed1/p.csv
    refuses 65 'p.csv:2: 4 fields, but the first line has 3' a/seed1/p.csv
    # names of rows without a name of their own, as R writes them
    printf '"label"\t"prediction"\n"1"\t0\t0\n"2"\t1\t1\n' >a/seed1/p.tsv
    refuses 65 'p.tsv:2: 3 fields, but the first line has 2' a/seed1/p.tsv
    printf '0\t1\n1\t0\n' >a/seed1/p.tsv
    printf 'id,label,text\n0,1,well\n1,0,no, thanks\n' >g.csv
    refuses 65 'g.csv:3: 4 fields, but the first line has 3' --gold g.csv a/seed1/p.tsv
    printf '0\t1\n1\t0\tx\n' >g.tsv
    refuses 65 'g.tsv:2: 3 fields, but the first line has 2' --gold g.tsv a/seed1/p.tsv
    # a line of commas, as spreadsheets leave them at the end, is no example
    printf 'id,label,prediction\n0,1,1\n,,\n' >a/seed1/p.csv
    refuses 65 'p.csv:3: an empty id' a/seed1/p.csv
    printf 'id,label\n0,1\n,\n' >g.csv
    refuses 65 'g.csv:3: an empty id' --gold g.csv a/seed1/p.tsv
    # separators of another kind of file
    for separator in ';' '\t'; do
        printf "id${separator}label${separator}prediction\n0${separator}1${separator}1\n" >a/seed1/p.csv
        refuses 65 'p.csv:1: one column .*; fields are parted by commas in .csv, by TABs in .txt and .tsv' a/seed1/p.csv
    done
    cp a/seed1/p.csv a/seed1/t.tsv
    gives "zeta=1" a/seed1/t.tsv
    printf 'id,label\n0,1\n' >g.tsv
    refuses 65 'g.tsv:1: one column' --gold g.tsv a/seed1/t.tsv
    # two columns that both may be the truth: here one is what the scores say
    printf 'id,gold,label,a,b\n0,a,b,0,1\n1,b,a,1,0\n' >a/seed1/p.csv
    refuses 65 "the columns 'label' and 'gold' may be the same" a/seed1/p.csv
    printf 'id,label,pred,Prediction\n0,a,b,a\n' >a/seed1/p.csv
    refuses 65 "the columns 'prediction' and 'pred' may be the same" a/seed1/p.csv
    # several names of ids are no harm: the first counts
    printf 'idx,id,label,prediction\n7,0,a,a\n7,1,b,a\n' >a/seed1/p.csv
    gives "zeta=.5" a/seed1/p.csv
    refuses 66 'cannot open nothing.csv: No such file' nothing.csv
}

@test "rows without ids are those of the gold labels, or refused" {
    mkdir -p a/seed1
    printf 'label\n1\n1\n0\n1\n' >g.csv
    # an empty field of a single column is a row
    printf 'prediction\n1\n""\n0\n1\n' >a/seed1/p.csv
    gives "zeta=.75 missing=1" --gold g.csv a/seed1/p.csv
    printf 'prediction\n1\n\n0\n1\n' >a/seed1/p.csv
    refuses 65 'no column of ids, and the 3 rows are not numbered as the 4 labels of g.csv; add a column id' --gold g.csv a/seed1/p.csv
    printf 'id,label\n3,1\n2,0\n1,0\n0,0\n' >g.csv
    printf 'prediction\n1\n0\n0\n0\n' >a/seed1/p.csv
    refuses 65 'no column of ids, and the 4 rows are not numbered as' --gold g.csv a/seed1/p.csv
    printf 'index,prediction\n3,1\n2,0\n0,0\n' >a/seed1/p.csv
    gives "zeta=1" --gold g.csv a/seed1/p.csv
}

@test "gold labels beside a column of labels" {
    runs a -1,-1,-1 1,0,1
    printf '0\t1\n1\t1\n2\t0\n' >g.tsv
    gives "zeta=.333333 K=2" --gold g.tsv a/seed1/p.csv
    runs b 1,0,0 1,0,1
    refuses 65 "b/seed1/p.csv:3: the label '0' of example validation-1 is '1' in g.tsv" --gold g.tsv b/seed1/p.csv
    # an example that gold lacks keeps its own, -1 of three classes too
    runs c 1.0,1,-1,0 1,-1,-1,0
    printf '0\t1\n3\t0\n' >g.tsv
    gives "zeta=.75 K=3" --gold g.tsv c/seed1/p.csv
    # ids in the file, names in gold
    runs d 1,0,1 1,0,0
    printf '0\tacceptable\n1\tunacceptable\n2\tacceptable\n' >g.tsv
    gives "zeta=.666667" --gold g.tsv d/seed1/p.csv
    says 'in the order of the task cola'
    # values: our own files have floats
    runs e 3.8,1,2 3,1,2.5
    printf '0\t3.80000001\n1\t1\n2\t2.0\n' >g.tsv
    gives "zeta=.902817" --metric pearson --gold g.tsv e/seed1/p.csv
}

@test "F1 says its class: GLUE's, the 1 of two numbers, the second of --labels" {
    runs a equivalent,equivalent,equivalent,not_equivalent,not_equivalent equivalent,equivalent,not_equivalent,equivalent,not_equivalent
    gives "zeta=.666667" --metric f1 a/seed1/p.csv
    says 'positive_class,equivalent,'
    runs b 1,1,2,2,2 1,2,2,2,2
    gives "zeta=.666667" --metric f1 b/seed1/p.csv
    says 'positive_class,1,'
    $consistency --metric f1 b/seed1/p.csv | grep -q '^  f1 of   1$'
    gives "zeta=.857143" --metric f1 --labels 1,2 b/seed1/p.csv
    says 'positive_class,2,'
    runs c -1,1,1 -1,-1,1
    gives "zeta=.666667" --metric f1 c/seed1/p.csv
    says 'positive_class,1,'
    runs d ham,spam,spam ham,ham,spam
    $consistency --metric f1 --format json d/seed1/p.csv | grep -q '"positive_class": "spam"'
    $consistency --metric f1 --format html d/seed1/p.csv | grep -q 'f1 of the class spam'
    runs e 0,1,2 0,1,2
    refuses 64 'f1 is of two classes, but there are 3: 0, 1, 2; choose macro-f1' --metric f1 e/seed1/p.csv
    # a class that only predictions have
    runs f 1,1,1 1,0,1
    gives "zeta=.8" --metric f1 f/seed1/p.csv
}

# scores FILE HEADER ROW...
scores() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" >"$file"
}

@test "columns of scores are those named as classes, or --scores" {
    for seed in 1 2; do scores a/seed$seed/p.csv 'id,label,0,1,length' 0,1,.2,.8,57 1,0,.6,.4,12 2,1,.1,.9,33; done
    gives "zeta=1 K=2" a/seed*/p.csv
    says "ignored, being neither named as a class nor in --scores: column 'length'"
    [ "$(grep -c ignored err)" -eq 1 ]
    says "scores_from,\"columns '0', '1', read as probabilities\""
    scores b/seed1/p.csv 'ID, Label ,text, Yes ,NO,words' 0,yes,"a b",2,-1,9 1,no,c,3,1,8
    gives "zeta=.5" b/seed1/p.csv
    says "columns 'text', 'words'"
    says "read as logits"
    # a class that no label has, numbered
    scores c/seed1/p.csv 'id,label,0,1,2' 0,0,3,1,2 1,2,0,5,1 2,2,0,1,2
    gives "zeta=.666667 K=3" c/seed1/p.csv
    scores c/seed2/p.csv 'id,label,0,1,2024' 0,0,3,1,2 1,1,0,5,9
    refuses 65 "column '2024' is a number, but no class.*--scores" c/seed2/p.csv
    gives "zeta=1" --scores 0,1 c/seed2/p.csv
    # a known task has the class that no label has
    scores d/seed1/p.csv 'id,label,entailment,neutral,contradiction' 0,entailment,3,1,2 1,contradiction,1,4,2
    gives "zeta=.5 K=3" d/seed1/p.csv
    # a class without scores, and scores that are no distribution without another column
    scores e/seed1/p.csv 'id,label,a,b' 0,a,1,0 1,c,0,1 2,b,0,1
    refuses 65 "class 'c' has no column of scores" e/seed1/p.csv
    scores f/seed1/p.csv 'id,label,a,b,c' 0,a,.5,.2,.3 1,b,.2,.1,.7
    refuses 65 'only together with other columns.*--scores' f/seed1/p.csv
    gives "zeta=.5 K=3" --scores a,b,c f/seed1/p.csv
    # by position: in the order of ids, which must be known
    scores g/seed1/p.csv 'id,label,p0,p1' 0,0,.9,.1 1,1,.8,.2
    refuses 65 "no two columns named as classes: the others are 'p0', 'p1'; name.*--scores" g/seed1/p.csv
    gives "zeta=.5" --scores p0,p1 g/seed1/p.csv
    gives "zeta=.5" --scores ' P0 ,p1' g/seed1/p.csv
    scores h/seed1/p.csv 'id,label,p0,p1' 0,x,.9,.1 1,y,.8,.2
    refuses 65 'say of which class each is with --labels' --scores p0,p1 h/seed1/p.csv
    gives "zeta=.5" --scores p0,p1 --labels y,x h/seed1/p.csv
    refuses 65 "no column 'p2' of --scores" --scores p0,p2 h/seed1/p.csv
    refuses 65 '2 columns for 3 classes' --scores p0,p1 --labels x,y,z h/seed1/p.csv
    # the first of equal scores, in the order of the columns; NaN is no answer
    scores i/seed1/p.csv 'id,label,b,a' 0,b,1,1 1,a,1,1 2,a,nan,0
    gives "zeta=.333333 missing=1" i/seed1/p.csv
    scores j/seed1/p.csv 'id,label,a,b' 0,b,1,x 1,a,1,1
    refuses 65 "p.csv:2: the score in column 'b' is not a number" j/seed1/p.csv
    # beside predictions scores are of use, and another number does no harm
    scores k/seed1/p.csv 'id,label,prediction,0,1,2024' 0,1,1,.9,.1,3
    gives "zeta=1" k/seed1/p.csv
    # ids as columns, names as labels
    scores l/seed1/p.csv 'id,label,0,1' 0,equivalent,.1,.9 1,not_equivalent,.2,.8
    gives "zeta=.5" l/seed1/p.csv
    scores l/seed2/p.csv 'id,label,0,1' 0,x,.1,.9 1,y,.2,.8
    refuses 65 'with --labels A,B' l/seed2/p.csv
    # a number named as the next class; empty scores, spaces, and what a float would round to one
    scores n/seed1/p.csv 'id,label,0,1,2' 0,1,.2,.8,57 1,0,.6,.4,12
    refuses 65 "probabilities only without column '2'.*--scores" n/seed1/p.csv
    gives "zeta=1" --scores 0,1 n/seed1/p.csv
    scores n/seed2/p.csv 'id, label, a, b' '0, a, 0.1 , 0.9' '1, b,, 1' '2, b, .5, .50000000001' '3, a, 16777217, 16777216'
    gives "zeta=.5 missing=1" n/seed2/p.csv
    # pandas' own index, without another name
    printf '0\tx\n1\ty\n' >n/g.tsv
    scores n/seed1/p.csv ',x,y' 1,.2,.8 0,.9,.1
    gives "zeta=1" --gold n/g.tsv n/seed1/p.csv
    # pandas' own index
    scores m/seed1/p.csv ',label,prediction' 7,a,a 3,b,a
    gives "zeta=.5" m/seed1/p.csv
    $consistency --format csv --examples all m/seed1/p.csv | grep -q validation-7
}

# seeded PATH...: a run at each
seeded() {
    for path in "$@"; do
        mkdir -p "$(dirname "$path")"
        printf 'id,label,prediction\n0,a,a\n1,b,a\n' >"$path"
    done
}

# seeds "MODEL SEED,... [MODEL ...]" ARGUMENTS...: the groups of the report
seeds() {
    local expected=$1
    shift
    $consistency --format jsonl "$@" >out 2>err || { cat err; return 1; }
    local found="$(sed 's/.*"model":"\([^"]*\)".*"seeds":\[\([0-9,]*\)\].*/\1 \2/' out | tr '\n' ' ')"
    [ "$found" = "$expected " ] || { echo "$found"; return 1; }
}

@test "the seed of a path: the forms, and digits that are none" {
    seeded a/seed=7/p.csv a/seed=8/p.csv
    seeds "a/seed=*/p.csv 7,8" a/*/p.csv
    seeded b/seed_7/p.csv b/seed_08/p.csv
    seeds "b/seed_*/p.csv 7,8" b/*/p.csv
    seeded c/roberta2-s7.csv c/roberta2-s8.csv
    seeds "c/roberta2-s*.csv 7,8" c/*.csv
    seeded d/run-7/checkpoint-500/p.csv d/run-8/checkpoint-500/p.csv
    seeds "d/run-*/checkpoint-500/p.csv 7,8" d/*/*/p.csv
    seeded e/2024/7/mnli3.csv e/2024/8/mnli3.csv
    seeds "e/2024/*/mnli3.csv 7,8" e/*/*/*.csv
    seeded f/Seed42/p_seed42.csv f/Seed52/p_seed52.csv
    seeds "f/Seed*/p_seed*.csv 42,52" f/*/*.csv
    seeded g/1/seed1/p.csv g/2/seed2/p.csv
    seeds "g/*/seed*/p.csv 1,2" g/*/*/p.csv
    # two models of two seeds each: the word says which number it is
    seeded h/1/seed=3/p.csv h/1/seed=4/p.csv h/2/seed=3/p.csv h/2/seed=4/p.csv
    seeds "h/1/seed=*/p.csv 3,4 h/2/seed=*/p.csv 3,4" h/*/*/p.csv
    # models whose folders are of different depth
    seeded i/x/seed1/p.csv i/seed2/p.csv
    seeds "i/seed*/p.csv 2 i/x/seed*/p.csv 1" i/x/seed1/p.csv i/seed2/p.csv
    seeded j/1/predict_results_sst2.csv j/2/predict_results_sst2.csv
    seeds "j/*/predict_results_sst2.csv 1,2" j/*/*.csv
    seeded k/1.csv k/2.csv
    seeds "k/*.csv 1,2" k/*.csv
    seeded l/s18446744073709551615.csv l/s18446744073709551616.csv
    gives "S=1" l/s18446744073709551615.csv
    refuses 64 'is above 2^64 - 1' l/s18446744073709551616.csv
}

@test "paths that do not agree on one place ask for --seed-from" {
    seeded sst2/mnli3/checkpoint-500/p.csv a/seed1/p.csv b/2/p.csv b/3/p.csv c/1/x/2/p.csv c/3/x/4/p.csv d/exp_seed42/1/p.csv \
        d/exp_seed42/2/p.csv e/seed1/x_seed2/p.csv f/preds_1.csv f/preds_2.csv g/1/seed=3/p.csv g/2/seed=4/p.csv
    refuses 64 'no seed in its path.*--seed-from' sst2/mnli3/checkpoint-500/p.csv
    refuses 64 'a/seed1/p.csv and b/2/p.csv have their seeds in different places.*--seed-from' a/seed1/p.csv b/2/p.csv
    refuses 64 'several numbers may be the seed.*--seed-from' c/*/x/*/p.csv
    refuses 64 'no two runs are of one model.*--seed-from' d/*/*/p.csv
    refuses 64 'several numbers may be the seed' e/seed1/x_seed2/p.csv
    refuses 64 'no seed in its path' f/preds_*.csv
    refuses 64 'no two runs are of one model' g/*/*/p.csv
    seeds "d/exp_seed42/*/p.csv 1,2" --seed-from '/([0-9]+)/p' d/*/*/p.csv
    seeds "f/preds_*.csv 1,2" --seed-from '_([0-9]+)[.]csv$' f/preds_*.csv
    grep -q '"seeds_from":"--seed-from _(' out
    seeds "a/seed*/p.csv 1 b/*/p.csv 2,3" --seed-from 'seed([0-9]+)|b/([0-9]+)' a/seed1/p.csv b/*/p.csv
    refuses 64 'a/seed1/p.csv: --seed-from b/(.) does not match' --seed-from 'b/(.)' b/2/p.csv a/seed1/p.csv
    refuses 64 "gives 'seed1', which is no number" --seed-from 'a/([a-z0-9]+)' a/seed1/p.csv
    refuses 64 'no group' --seed-from '[0-9]+' a/seed1/p.csv
    refuses 64 '^consistency: --seed-from (: ' --seed-from '(' a/seed1/p.csv
}

@test "every report shows how classes and seeds were understood" {
    runs a acceptable,unacceptable,acceptable 1,0,0 1,0,1 1,1,1
    for format in text csv html json; do
        $consistency --format $format a/seed*/p.csv >$format
        tr -s ' \n' ' ' <$format | grep -q 'unacceptable, acceptable (names; numbers are ids in the order of the task cola)'
        grep -q "number behind 'seed' in the path\|number behind &#39;seed&#39;" $format
    done
    grep -v '^  !' text | LC_ALL=C.UTF-8 awk 'length($0) > 80 { exit 1 }'
}

@test "both sides of a comparison have the classes of both" {
    runs A 0,1,2,2 0,1,2,2 0,1,2,1
    runs B 0,1,2,2 0,1,7,2 0,1,2,2
    $consistency --format json --compare A B A/*/p.csv B/*/p.csv >out
    [ "$(grep -c '"K": 4' out)" -eq 2 ]
}

@test "the cases that were seen" {
    [ -d "$cases/public/import-float-labels" ] || skip "needs ../shared/cases"
    gives "zeta=.666667 K=3" "$cases"/public/import-class-not-in-gold/run/seed*/p.csv
    gives "zeta=.612372" --metric mcc "$cases"/public/import-class-not-in-gold/run/seed*/p.csv
    gives "zeta=.75 CON=.5 CCON=.5" "$cases"/public/import-class-not-in-gold-con/run/seed*/p.csv
    gives "zeta=.666667" --metric f1 "$cases"/public/import-f1-of-the-wrong-class/run/seed*/p.csv
    says "positive_class,equivalent"
    gives "zeta=.666667" "$cases"/public/import-float-labels/run/seed*/p.csv
    gives "zeta=1" "$cases"/public/import-ids-against-names/run/seed*/p.csv
    gives "zeta=1" "$cases"/public/import-number-column-taken-as-a-class/run/seed*/p.csv
    gives "zeta=.916667 S=3" --gold "$cases"/public/import-seed-taken-from-task-name/gold.tsv \
        "$cases"/public/import-seed-taken-from-task-name/runs/*/predict_results_sst2.txt
}

@test "names of files: endings in any case; a log is no prediction file" {
    mkdir -p a/seed1 a/seed2
    printf 'id,label,prediction\n0,a,a\n1,"b",a\n' | tee a/seed1/P.CSV >a/seed2/P.CSV
    gives "zeta=.5 S=2" a/seed*/P.CSV
    printf 'id\tlabel\tprediction\n0\ta\ta\n1\tb\tb\n' | tee a/seed1/q.Tsv >a/seed2/q.Tsv
    gives "zeta=1 S=2" a/seed*/q.Tsv
    echo '{"event":"start"}' >a/seed1/run.s1.jsonl
    refuses 64 "run.s1.jsonl: JSON lines, as the log of a run is, hold no predictions; name the .bin files" a/seed*/*
}
