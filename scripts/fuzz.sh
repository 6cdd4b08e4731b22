#!/usr/bin/env bash
# fuzz.sh SECONDS TARGET...: runs fuzz targets for so long each, guided by what they cover. This is
# what cargo-fuzz does, less the sanitizers, which take a nightly toolchain and find nothing where
# no code is unsafe. (Whoever has it can use it on the stable toolchain too, in fuzz:
# `cargo fuzz run -s none --features libfuzzer TARGET`.) What is found is in fuzz/artifacts, what was
# tried in fuzz/corpus.
set -euo pipefail

seconds=$1
shift
cd "$(dirname "$0")/../fuzz"

command -v c++ >/dev/null || { echo "error: c++ is missing, which builds libFuzzer: install g++." >&2; exit 1; }

export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')

# Only for the target, not for what runs while it is built; and apart from other builds.
cargo build --release --features libfuzzer --target "$host" --target-dir target/guided "${@/#/--bin=}"
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    "target/guided/$host/release/$target" "corpus/$target" \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -print_final_stats=1
done
