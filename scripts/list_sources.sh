#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the project's files, one a line: from git, or in an unpacked archive from the folders. With arguments only those
# whose name ends so: scripts/list_sources.sh .h .cpp
set -euo pipefail

cd "$(dirname "$0")/.."
if git rev-parse --is-inside-work-tree >/dev/null 2>&1 && [ "$(git rev-parse --show-toplevel)" = "$PWD" ]; then
  # A file deleted but not yet committed is still listed by git.
  git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
    if [ -e "$file" ]; then echo "$file"; fi
  done
else
  find . \( -path ./build -o -path ./.git \) -prune -o -type f -print | sed 's#^\./##'
fi | LC_ALL=C sort -u | while IFS= read -r file; do
  if [ $# -eq 0 ]; then echo "$file"; fi
  for ending in "$@"; do
    case $file in *"$ending") echo "$file" ;; esac
  done
done
