#!/bin/sh
# A short run of the fuzzer: fuzz.sh SECONDS
if make --no-print-directory BUILD="${BUILD:-build}" PROGRAMS="${PROGRAMS:-.}" FUZZ_SECONDS="$1" fuzz >"${BUILD:-build}/fuzz.log" 2>&1; then
    grep 'number_of_executed_units' "${BUILD:-build}/fuzz.log"
    echo "fuzz: 1 passed, 0 failed"
else
    tail -n 30 "${BUILD:-build}/fuzz.log"
    echo "fuzz: 0 passed, 1 failed"
fi
rm -f "${BUILD:-build}/fuzz.log"
