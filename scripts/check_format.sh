#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks (or with --fix makes) the layout of every C and C++ file by .clang-format: scripts/check_format.sh [--fix]
# Only clang-format 14 gives exactly this layout, so no other version is used.
set -euo pipefail

cd "$(dirname "$0")/.."
tool=
for candidate in clang-format-14 clang-format; do
  if command -v $candidate >/dev/null && $candidate --version | grep -q 'version 14\.'; then
    tool=$candidate
    break
  fi
done
if [ -z "$tool" ]; then
  echo "check_format: needs clang-format 14 (package clang-format-14)" >&2
  exit 1
fi
mapfile -t files < <(scripts/list_sources.sh .h .hpp .c .cpp .cu)
if [ ${#files[@]} -eq 0 ]; then
  echo "check_format: found no source file" >&2
  exit 1
fi
if [ "${1:-}" = --fix ]; then
  "$tool" -i "${files[@]}"
else
  "$tool" --dry-run --Werror "${files[@]}"
  echo "check_format: ${#files[@]} files"
fi
