#!/bin/sh
# A study by GNU parallel, from the folder of the programs (docs/STUDY.md):
#     tools/study_parallel.sh -j 4 -- --tasks paper --recipe paper --model roberta-large --threads-per-run 2
# What is before -- goes to parallel, such as --sshloginfile HOSTS --workdir .; what is behind it is the study's.
set -e
options=
for word; do
    shift
    [ "$word" != -- ] || break
    options="$options $word"
done
./train_gpt study "$@" --quiet --print | parallel $options
exec ./train_gpt study "$@"
