#!/bin/bash
# Whether test_ptx finds what nvcc could do wrong, and the interpreter what PTX may not: test/ptx/faults.sh, with $NVCC.
# PTX of kernels/optimizer.cu is made with flags that are not exact, and changed by hand; each time test_ptx must end with
# what stands beside it. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

compile() { # OUTPUT FLAGS...
    "$NVCC" -ptx -std=c++17 -O3 -arch=compute_80 "${@:2}" -Ibase -Ikernels -DBUILD=ptx kernels/optimizer.cu -o "$work/$1"
}

# ends OP FILE CODE TEXT WHAT: what test_ptx says of an op with this PTX
ends() {
    local code=0
    "$build/test_ptx" --only "$1" --ptx "$work/$2" >"$work/said" 2>&1 || code=$?
    if [ $code -eq "$3" ] && grep -q -- "$4" "$work/said"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $5: exit code $code, wanted $3 and \"$4\":"
        tail -n 3 "$work/said"
    fi
}

compile good.ptx -fmad=false || exit
ends adamw good.ptx 0 '^test_ptx: .* 0 failed' "the PTX as it is"

inexact="not on the list (floats are rounded"
while read -r op flags; do
    compile bad.ptx $flags || exit
    ends "$op" bad.ptx 70 "$inexact" "$flags"
done <<END
adamw -fmad=true
adamw -fmad=false -ftz=true
adamw -fmad=false -prec-div=false
adamw -fmad=false -prec-sqrt=false
sum_squares -fmad=true
END

# OP#CODE#WHAT IT SAYS#CHANGE, an expression of sed over the whole text
while IFS='#' read -r op code text change; do
    sed -zE "$change" "$work/good.ptx" >"$work/bad.ptx"
    if cmp -s "$work/good.ptx" "$work/bad.ptx"; then
        failed=$((failed + 1))
        echo "FAILED: $change changes nothing"
        continue
    fi
    ends "$op" bad.ptx "$code" "$text" "$change"
done <<'END'
adamw#1#parameter: .* differ#s/(mul\.rn\.f32\s+(%f[0-9]+), (%f[0-9]+), (%f[0-9]+);\s+)sub\.rn\.f32\s+(%f[0-9]+), \2, (%f[0-9]+);/\1neg.f32 \5, \6; fma.rn.f32 \5, \3, \4, \5;/g
adamw#1#parameter: .* differ#s/fma\.rn\.f32\s+(%f62), (%f[0-9]+), (%f[0-9]+), (%f[0-9]+);/mul.rn.f32 \1, \2, \3; add.rn.f32 \1, \1, \4;/
adamw#1#parameter: .* differ#s/div\.rn\.f32\s+(%f[0-9]+), (%f[0-9]+), (%f[0-9]+);/rcp.rn.f32 \1, \3; mul.rn.f32 \1, \1, \2;/g
sum_squares#1#partial: .* differ#s/add\.rn\.f32\s+%f32, %f30, %f31;/add.rn.f32 %f32, %f30, %f30;/
sum_squares#70#the mask is without this lane#s/mov\.u32\s+%r35, -1;/mov.u32 %r35, 0;/
sum_squares#70#reads a lane that is not in the mask#s/mov\.u32\s+%r35, -1;/mov.u32 %r35, 65535;/
sum_squares#70#a lane of the mask does not come#s/shfl/setp.gt.s32 %p7, %r1, 30; @%p7 ret; shfl/
sum_squares#70#an address that is no multiple#s/ld\.global\.f32\s+(%f[0-9]+), \[(%rd[0-9]+)/ld.global.f32 \1, [\2+2/
sum_squares#1#touches memory 0 bytes behind the end of x#s/ld\.global\.f32\s+(%f[0-9]+), \[(%rd[0-9]+)/ld.global.f32 \1, [\2+4/
sum_squares#70#division by zero#s/shfl/div.s32 %r1, %r1, 0; shfl/
sum_squares#70#not 4, 8 or 16 bytes#s/shfl/cp.async.ca.shared.global [0], [%rd1], 5, 5; shfl/
sum_squares#70#CUDA refuses#s/maxntid 256/maxntid 128/
sum_squares#70#no such label#s/bra\s+\$L/bra $M/
sum_squares#70#reads behind the parameters#s/_param_0\]/_param_0+800]/
sum_squares#70#not on the list (floats are rounded#s/(fma\.rn\.f32[^,]*,[^,]*,[^,]*),[^;]*;/\1;/
sum_squares#70#too many operands#s/(fma\.rn\.f32[^;]*);/\1, %f1, %f1, %f1;/
sum_squares#70#too many registers#s/%f<[0-9]+>/%f<99999>/
sum_squares#70#neither a register nor a number#s/%f<[0-9]+>/%f<9>/
sum_squares#70#not understood#s/\.maxntid/.most/
sum_squares#70#no type#s/\.reg \.f32/.reg .f8/
sum_squares#70#does not end with ret#s/ret;/nop;/
sum_squares#70#the text ends#s/ret;.*//
gradient_norm#1#sums: .* differ#s/bar\.sync\s+0;//g
gradient_norm#70#only barrier 0#s/bar\.sync\s+0;/bar.sync 1;/
gradient_norm#70#part of the block has returned#s/bar\.sync\s+0;/setp.eq.s32 %p1, %r1, 0; @%p1 ret; bar.sync 0;/
gradient_norm#70#outside of shared memory#s/\+4096\]/+8192]/
gradient_norm#70#more than 48 KB#s/\[8192\]/[60000]/
END
echo "ptx faults: $passed passed, $failed failed"
[ $failed -eq 0 ]
