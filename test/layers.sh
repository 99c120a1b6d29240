#!/bin/sh
# Includes point one way, and every header compiles alone: base <- kernels <- model <- train; data sees base
# alone, eval also data. And no line of a test of bats checks nothing.
set -u
cd "$(dirname "$0")/.."
cc=${CC:-cc}
passed=0
failed=0
check() {
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $2"; fi
}
# folder: headers of these folders may be included
allowed() {
    case $1 in
    base) echo base ;;
    kernels) echo base kernels ;;
    model) echo base kernels model ;;
    data) echo base data ;;
    eval) echo base data eval ;;
    *) echo base kernels model data eval train ;;
    esac
}
for folder in base kernels model data eval train; do
    for file in "$folder"/*.[ch] "$folder"/*.cu; do
        [ -f "$file" ] || continue
        for header in $(sed -n 's/^ *#include "\(.*\)"/\1/p' "$file"); do
            found=1
            for from in $(allowed $folder); do
                [ -f "$from/$header" ] && found=0
            done
            check $found "$file includes $header"
        done
    done
done
for file in base/*.h kernels/*.h model/*.h data/*.h eval/*.h train/*.h; do
    echo "#include \"$file\"" | $cc -std=gnu11 -fsyntax-only -Wall -Wextra -DBUILD=scalar -I. -Ibase -Ikernels -Imodel -Idata -Ieval -Itrain \
        -Wno-unused-function -x c - 2>/dev/null
    check $? "$file does not compile alone"
done
# -I finds the first header of a name
for name in $(ls */*.h test/*/*.h | sed 's,.*/,,' | sort | uniq -d); do
    check 1 "$name is the name of more than one header: $(ls */"$name" test/*/"$name" 2>/dev/null | tr "\n" " ")"
done
# what a .cu file includes is C++ too
cxx=${CXX:-c++}
if echo '#include <math.h>' | $cxx -x c++ -fsyntax-only - 2>/dev/null; then
    for file in base/rng.h base/scalar.h kernels/ops.h kernels/build.h; do
        echo "#include \"$file\"" | $cxx -std=c++17 -fsyntax-only -Wall -Wextra -Werror -Wno-unused-function -DBUILD=cuda -I. -Ibase -Ikernels -x c++ -
        check $? "$file is not C++"
    done
else
    echo "SKIPPED: no C++ compiler ($cxx): whether the headers of kernels/*.cu are C++"
fi
# errexit passes over "! command", wherever it stands, and over all but the last of "this && that"
grep -nE '^ *! ' test/*.bats | grep -v '|| false$'
check $(($? == 0)) 'a line "! command" fails no test; add || false'
grep -nE '^ *(grep|\[|cmp|says|sha256sum) .* && (!|grep|\[|cmp|says) ' test/*.bats | grep -v '||'
check $(($? == 0)) 'the first of "this && that" fails no test; write two lines'
echo "layers: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
