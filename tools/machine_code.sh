#!/bin/bash
# Looks at what nvcc makes of the CUDA kernels, where nvcc, cuobjdump and nvdisasm are: tools/machine_code.sh [FILE.cu ...]
# For sm_80, sm_86, sm_90 and sm_100 as far as nvcc knows them, and for the PTX of the newest of them, which newer devices
# compile themselves. An error is
#   a warning of nvcc, spilled registers and local memory among them (flags of the Makefile);
#   in PTX a float operation without .rn, or with .ftz or .approx: with -fmad=false nvcc gives each sum and product its .rn,
#       which ptxas may not contract, so that an fma stands where the source has fmaf and nowhere else;
#   in machine code LDL or STL (local memory), RED or ATOM (atomics), MMA (tensor cores), arithmetic of halves, and MUFU but
#       for the reciprocals from which division and square root begin. FFMA itself proves nothing: those two need it too.
# Files with _block or _mma in their name may have the instructions of mma.cuh, of bf16 with sums in float32, and no other MMA.
# Kernels that end in the name of a variant of class run or none (kernels/variants.def) are excused.
# Without FILE: all of kernels/, and the table of registers, shared memory and warps in docs/KERNELS.md is written anew.
# Closes with "N passed, N failed", a check being one kernel for one device; 69 if a tool is missing.
# From make: NVCC, CUDAFLAGS, INCLUDE_kernels. GPUS="80 90": these devices alone.
set -u -o pipefail
cd "$(dirname "$0")/.."
missing() {
    echo "machine_code: $1 is not there: $2" >&2
    exit 69
}
nvcc=${NVCC:-$(command -v nvcc)}
[ -x "$nvcc" ] || missing nvcc "it comes with the CUDA toolkit"
PATH=$PATH:$(dirname "$nvcc")
for tool in cuobjdump nvdisasm; do
    command -v $tool >/dev/null || missing $tool "it comes with the CUDA toolkit, or from PyPI as nvidia-cuda-$tool"
done
known=$("$nvcc" --list-gpu-code) || exit 69
gpus=() code=()
for gpu in ${GPUS:-80 86 90 100}; do
    if grep -qx "sm_$gpu" <<<"$known"; then
        gpus+=("$gpu")
        code+=(-gencode "arch=compute_$gpu,code=sm_$gpu")
    fi
done
code+=(-gencode "arch=compute_${gpus[-1]},code=compute_${gpus[-1]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

files=("$@")
[ $# -gt 0 ] || files=(kernels/*.cu)
# one line for each compilation that fails, its messages after it
compile() {
    local to=$work/$(basename "$1").o
    if "$nvcc" ${CUDAFLAGS:-} "${code[@]}" ${INCLUDE_kernels:-} -DBUILD=cuda -c "$1" -o "$to" >"$to.said" 2>&1; then
        cuobjdump -sass "$to" >"$to.sass" && cuobjdump -ptx "$to" >"$to.ptx" && cuobjdump --dump-resource-usage "$to" >"$to.use"
    else
        rm -f "$to"
    fi
}
for file in "${files[@]}"; do
    compile "$file" &
    [ "$(jobs -pr | wc -l)" -lt "$(nproc)" ] || wait -n
done
wait

excused=$(sed -nE 's/^VARIANT\([a-z0-9_]+, ([a-z0-9_]+), "(run|none)".*/\1/p' kernels/variants.def | sort -u | paste -sd '|')
# Lines of "kind<tab>file<tab>device<tab>kernel<tab>...": bad with what and how often, use with registers and shared memory,
# launch with the most threads of a block and whether the block has dynamic shared memory.
for file in "${files[@]}"; do
    o=$work/$(basename "$file").o
    if [ ! -e "$o" ]; then
        printf 'bad\t%s\t-\t-\tdoes not compile: %s\t1\n' "$file" "$(grep -m 1 -E 'error|warning' "$o.said" || head -n 1 "$o.said")"
        continue
    fi
    awk -v file="$file" '
        /^[ \t]*code for/ { gpu = $3 }
        /^[ \t]*Function :/ { kernel = $3 }
        match($0, /^[ \t]+\/\*[0-9a-f]+\*\/[ \t]+/) {
            text = substr($0, RLENGTH + 1)
            sub(/^@!?U?P[0-9T]+[ \t]+/, "", text)
            op = text
            sub(/[ ;].*/, "", op)
            first = op
            sub(/\..*/, "", first)
            if (file ~ /_(block|mma)/ && op ~ /^HMMA\.(16816|1688)\.F32\.BF16$/) {
                next
            }
            if (first ~ /^(LDL|STL)$/ || first ~ /^(RED|ATOM)/ || first ~ /MMA$/ ||
                (first == "MUFU" && op !~ /^MUFU\.(RCP|RSQ)(64H)?$/) ||
                (first ~ /^H(ADD|MUL|FMA|MNMX)2$/ && text !~ /-RZ, RZ,/)) {
                bad[gpu "\t" kernel "\t" op]++
            }
        }
        END { for (i in bad) { printf "bad\t%s\t%s\t%d\n", file, i, bad[i] } }' "$o.sass"
    awk -v file="$file" '
        match($0, /\.(entry|func)/) { kernel = $0; sub(/^.*\.(entry|func)[ \t]+(\([^)]*\)[ \t]*)?/, "", kernel); sub(/[^A-Za-z0-9_$].*/, "", kernel) }
        /^\.target/ { gpu = $2; sub(/[^a-z0-9_].*/, "", gpu); sub(/sm_/, "compute_", gpu) }
        /\.extern \.shared/ { name = $0; sub(/\[.*/, "", name); sub(/.*[ \t]/, "", name); dynamic = name }
        /^\.maxntid/ { threads[kernel] = $2 + 0 }
        dynamic != "" && kernel != "" && index($0, dynamic) { uses[kernel] = 1 }
        {
            for (i = 1; i <= NF && $i !~ /^[a-z][a-z0-9]*\.[a-z0-9_.:]+;?$/; i++) {
            }
            if (i > NF) { next }
            op = $i
            if (file ~ /_(block|mma)/ && op ~ /^mma\.sync\.aligned\.m16n8k(16|8)\.row\.col\.f32\.bf16\.bf16\.f32$/) { next }
            if ((op ~ /^(add|sub|mul|mad|fma|div|rcp|sqrt|rsqrt)\./ && op ~ /\.b?f(16|32|64)(x2)?$/ && op !~ /\.rn\./) ||
                op ~ /\.(ftz|approx|full)(\.|$)/ || op ~ /^(atom|red|mma|wmma|wgmma|tcgen05)\./) {
                bad[gpu "\t" kernel "\t" op]++
            }
        }
        END {
            for (i in bad) { printf "bad\t%s\t%s\t%d\n", file, i, bad[i] }
            for (i in threads) { printf "launch\t%s\t%s\t%s\t%d\t%d\n", file, gpu, i, threads[i], uses[i] }
        }' "$o.ptx"
    awk -v file="$file" '
        /^arch =/ { gpu = $3 }
        /^ *Function / { kernel = $2; sub(/:$/, "", kernel) }
        match($0, /REG:[0-9]+/) {
            registers = substr($0, RSTART + 4, RLENGTH - 4)
            match($0, /SHARED:[0-9]+/)
            printf "use\t%s\t%s\t%s\t%d\t%d\n", file, gpu, kernel, registers, substr($0, RSTART + 7, RLENGTH - 7)
        }' "$o.use"
done >"$work/mangled"
c++filt -p <"$work/mangled" | sed -E 's/\tvoid /\t/; s/&?_INTERNAL_[A-Za-z0-9_]*:://g; s/\([a-z ]+\)//g' | sort >"$work/found"

report() {
    awk -F '\t' -v excused="$excused" '
        { check = $2 FS $3 FS $4 }
        $1 != "bad" || $3 == "-" { checks += !(check in counted); counted[check] }
        $1 == "bad" && (excused == "" || $4 !~ "_(" excused ")(<.*|>)?$") {
            failed += !(check in wrong)
            wrong[check]
            print "FAILED " $2 ": " ($3 == "-" ? "" : $4 ", " $3 ": " $6 " x ") $5
        }
        END { printf "machine_code: %d passed, %d failed\n", checks - failed, failed; exit failed > 0 }' "$work/found"
}

# Warps at a time on a multiprocessor, as the toolkit's occupancy calculator counts them: at most 64 and 32 blocks; 65,536
# registers, given out by 256 a warp and to 4 warps at once; 164 KB and 228 KB of shared memory, of which the system has
# 1 KB a block (sm_90 shows it in its figure, sm_80 does not).
table() {
    echo "| kernel | threads | registers, sm_80 and sm_90 | shared memory | warps, sm_80 and sm_90 |"
    echo "|---|---|---|---|---|"
    awk -F '\t' '
        function least(a, b) { return a < b ? a : b }
        function warps(k, gpu,   each, blocks, room) {
            each = int((threads[k] + 31) / 32)
            room = gpu == "sm_80" ? 164 * 1024 / (shared[k, gpu] + 1024) : 228 * 1024 / (shared[k, gpu] + 1)
            blocks = least(int(64 / each), 32)
            blocks = least(blocks, int(int(65536 / (int((32 * registers[k, gpu] + 255) / 256) * 256) / 4) * 4 / each))
            return least(blocks, int(room)) * each
        }
        { k = $2 " `" $4 "`"; sub(/.*\//, "", k) }
        $1 == "use" { registers[k, $3] = $5; shared[k, $3] = $6 }
        $1 == "launch" { threads[k] = $5; dynamic[k] = $6 }
        END {
            for (k in threads) {
                printf "| %s | %d | %d, %d | %d%s | %d, %d |\n", k, threads[k], registers[k, "sm_80"], registers[k, "sm_90"],
                    shared[k, "sm_80"], dynamic[k] ? " and at the launch" : "", warps(k, "sm_80"), warps(k, "sm_90")
            }
        }' "$work/found" | sort -V
}

report || exit 1
if [ $# -gt 0 ]; then
    table
    exit
fi
table | tools/fill_table.sh docs/KERNELS.md "machine code"
