#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Uses the library from outside, as other projects do: scripts/check_consumers.sh BUILD_DIR
# Installs BUILD_DIR to a temporary prefix, moves that tree (an install must not depend on its place), then builds and
# runs every program of tests/consumers. CC and CXX choose the compilers.
set -euo pipefail

build=$(cd "${1:?usage: scripts/check_consumers.sh BUILD_DIR}" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
consumers=$root/tests/consumers
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strict=(-std=c99 -pedantic -Wall -Wextra -Werror)
cache=()
if command -v ccache >/dev/null; then
  cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi

run() { # $1: what is shown; the rest: the program
  echo "check_consumers: $1"
  "${@:2}"
}

cmake --install "$build" --prefix "$work/installed" >/dev/null
mv "$work/installed" "$work/prefix"
pc=$(find "$work/prefix" -name tokendraw.pc)
libdir=$(dirname "$(dirname "$pc")")
export LD_LIBRARY_PATH=$libdir PKG_CONFIG_PATH=$libdir/pkgconfig
static=
if ! [ -e "$libdir/libtokendraw.so" ]; then static=--static; fi

if [ -z "$static" ]; then
  "$cc" "${strict[@]}" -I"$work/prefix/include" "$consumers/plain_c/sample_row.c" -L"$libdir" -ltokendraw \
    -o "$work/plain_c"
else # no tool tells a plain C program what a static library needs
  "$cc" "${strict[@]}" -I"$work/prefix/include" "$consumers/plain_c/sample_row.c" -L"$libdir" -ltokendraw -lhwy \
    -lstdc++ -lm -pthread -o "$work/plain_c"
fi
run plain_c "$work/plain_c"

read -ra flags < <(pkg-config --cflags --libs $static tokendraw)
"$cc" "${strict[@]}" "$consumers/pkg_config/greedy_row.c" "${flags[@]}" -o "$work/pkg_config"
run pkg_config "$work/pkg_config"

cmake -S "$consumers/find_package" -B "$work/find_package" "${cache[@]}" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/find_package" >/dev/null
run find_package "$work/find_package/consumer"

unset LD_LIBRARY_PATH
cmake -S "$consumers/add_subdirectory" -B "$work/add_subdirectory" "${cache[@]}" -DTOKENDRAW_SOURCE="$root" >/dev/null
cmake --build "$work/add_subdirectory" --parallel "${JOBS:-2}" >/dev/null
run add_subdirectory "$work/add_subdirectory/consumer"

installed=$work/prefix/bin/tokendraw
if [ -x "$installed" ]; then run "command line" "$installed" --version; fi
