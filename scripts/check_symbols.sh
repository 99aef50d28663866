#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The shared library exports the C API and nothing else: scripts/check_symbols.sh LIBTOKENDRAW.SO
# Every function of the header must be there, and every symbol that is there must be a function of the header.
set -euo pipefail

library=${1:?usage: scripts/check_symbols.sh LIBTOKENDRAW.SO}
root=$(cd "$(dirname "$0")/.." && pwd)
exported=$(nm --dynamic --defined-only "$library" | awk '{ print $NF }' | LC_ALL=C sort)
# A declaration begins with TOKENDRAW_API and may go on over lines.
declared=$(tr '\n' ' ' <"$root/include/tokendraw/tokendraw.h" | sed 's/TOKENDRAW_API/\n&/g' |
  sed -n 's/^TOKENDRAW_API [^(#]*[ *]\(tokendraw_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort)
if [ -z "$declared" ]; then
  echo "check_symbols: found no declaration in the header" >&2
  exit 1
fi
if ! difference=$(diff <(echo "$declared") <(echo "$exported")); then
  echo "check_symbols: $library does not export exactly what the header declares (<: declared, >: exported)" >&2
  echo "$difference" >&2
  exit 1
fi
echo "check_symbols: $(echo "$exported" | wc -l) symbols, all of them declared in the header"
