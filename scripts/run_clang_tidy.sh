#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy (.clang-tidy) on the library, the command line and the GPU emulator:
# scripts/run_clang_tidy.sh BUILD_DIR JOBS
# BUILD_DIR holds a compile_commands.json made for clang.
set -euo pipefail

build=${1:?usage: scripts/run_clang_tidy.sh BUILD_DIR JOBS}
jobs=$2
cd "$(dirname "$0")/.."
tool=$(command -v clang-tidy-14 || command -v clang-tidy)
# hip_modules.cpp is left out: it takes the header of the HIP runtime, which is not everywhere.
mapfile -t files < <(scripts/list_sources.sh .cpp | grep -E '^(src|tools|tests/simt)/' | grep -v '/hip_modules\.cpp$')
if [ ${#files[@]} -eq 0 ]; then
  echo "run_clang_tidy: found no source file" >&2
  exit 1
fi
# The command line works in one thread, where strerror and the like are safe. Outside the library nobody waits for a copy,
# and following values through CLI11, fmt and GoogleTest takes most of the time there is.
check_one() {
  local extra=()
  case $1 in
    tools/*) extra=(--checks='-concurrency-mt-unsafe,-performance-*,-clang-analyzer-*') ;;
    tests/*) extra=(--checks='-performance-*,-clang-analyzer-*') ;;
  esac
  "$tool" -p "$build" --quiet --warnings-as-errors='*' "${extra[@]}" "$1" 2>&1
}
export -f check_one
export tool build
status=0
findings=$(printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$jobs" bash -c 'check_one "$1"' check_one) || status=1
echo "$findings" | grep -vE '^[0-9]+ warnings? (generated|treated)|^$' >&2 || true
echo "run_clang_tidy: ${#files[@]} files"
exit $status
