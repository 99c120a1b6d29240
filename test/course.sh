#!/bin/bash
# Runs the examples of docs/DETERMINISM.md as a reader would and compares what they print. An example is an indented block
# whose commands begin with "$ "; the lines below a command are what it prints, "..." stands for any text. One bash runs all
# of them, in order, in a copy of the tree. --show prints what they printed. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MFLAGS MAKELEVEL BUILD PROGRAMS
export MAKEFLAGS='NVCC=' # the emulator runs the kernels of CUDA; a variable of the environment would not do

mkdir "$work/tree"
git ls-files -coz --exclude-standard | while IFS= read -r -d '' f; do [ ! -f "$f" ] || printf '%s\0' "$f"; done |
    xargs -0 cp -a --parents -t "$work/tree"
[ ! -d build ] || cp -a build "$work/tree/build"
make -s -C "$work/tree" >"$work/make" 2>&1 || { tail -n 20 "$work/make"; echo "course: the tree does not build"; exit 1; }

# Commands and what they print, by number; a command goes on where its line ends with a backslash.
commands=() outputs=() on='' n=-1
while IFS= read -r line; do
    case $line in
    '    $ '*) n=$((n + 1)) commands[n]=${line#'    $ '} outputs[n]= on=1 ;;
    '    '*)
        if [ -n "$on" ] && [[ ${commands[n]} == *\\ ]]; then
            commands[n]+=$'\n'${line#'    '}
        elif [ -n "$on" ]; then
            outputs[n]+=${line#'    '}$'\n'
        fi
        ;;
    *) on= ;;
    esac
done <docs/DETERMINISM.md
[ $n -ge 0 ] || { echo "course: no examples"; exit 1; }

for i in "${!commands[@]}"; do
    printf '{\n%s\n} >%q 2>&1 </dev/null\n' "${commands[i]}" "$work/said$i"
done >"$work/script"
(cd "$work/tree" && exec bash "$work/script")

passed=0 failed=0
for i in "${!commands[@]}"; do
    said=$(sed 's/ *$//' "$work/said$i") pattern=${outputs[i]%$'\n'}
    pattern=${pattern//'\'/'\\'} pattern=${pattern//'['/'\['} pattern=${pattern//'*'/'\*'} pattern=${pattern//'?'/'\?'}
    [ "${1:-}" != --show ] || printf '$ %s\n%s\n' "${commands[i]}" "$said"
    # shellcheck disable=SC2053
    if [[ -z ${outputs[i]} || $said == ${pattern//.../*} ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  $ %s\n--- the document says\n%s--- it prints\n%s\n' "${commands[i]}" "${outputs[i]}" "$said"
    fi
done
echo "course: $passed passed, $failed failed"
[ $failed -eq 0 ]
