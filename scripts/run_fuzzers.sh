#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every built fuzz target on its seed corpus and then for a time: scripts/run_fuzzers.sh BUILD_DIR SECONDS JOBS
# A finding stays in BUILD_DIR/findings. Reproduce: BUILD_DIR/tests/fuzz/TARGET FILE
set -euo pipefail

build=${1:?usage: scripts/run_fuzzers.sh BUILD_DIR SECONDS JOBS}
seconds=$2
jobs=$3
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build/findings"
targets=("$build"/tests/fuzz/fuzz_*)
logs=()
pids=()
status=0

wait_for_all() {
  for index in "${!pids[@]}"; do
    if ! wait "${pids[$index]}"; then
      status=1
      tail -n 60 "${logs[$index]}" >&2
    fi
    printf '%s: %s\n' "$(basename "${logs[$index]}" .log)" "$(grep -E '^Done |^SUMMARY' "${logs[$index]}" | tail -n 1)"
  done
  pids=()
  logs=()
}

for target in "${targets[@]}"; do
  if ! [ -x "$target" ] || [ -d "$target" ]; then continue; fi
  name=$(basename "$target")
  seeds=$root/tests/fuzz/corpus/${name#fuzz_}
  found=$build/corpus/$name
  mkdir -p "$found"
  log=$build/$name.log
  "$target" "$found" "$seeds" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$name-" >"$log" 2>&1 &
  pids+=($!)
  logs+=("$log")
  if [ ${#pids[@]} -ge "$jobs" ]; then wait_for_all; fi
done
wait_for_all
if [ "$(find "$build/tests/fuzz" -name 'fuzz_*' -type f -perm -u+x | wc -l)" -eq 0 ]; then
  echo "run_fuzzers: no target was built in $build" >&2
  exit 1
fi
exit $status
