#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same tokens on another architecture: builds the library for arm64 (NEON), runs the case list on qemu's emulation of
# it, and compares hashes of all outputs with this machine's. Needs the packages g++-aarch64-linux-gnu and qemu-user, and
# apt-get to fetch Highway for arm64, which is unpacked into the build folder and not installed.
# Where those cannot be had (a distribution that keeps arm64 elsewhere) it says so and leaves the check out.
set -euo pipefail

cd "$(dirname "$0")/.."
build=build/arm64
max_vocab=${1:-1100}
compiler=aarch64-linux-gnu-g++
mkdir -p "$build/lists/partial" "$build/packages" "$build/include"

leave_out() {
  echo "check_arm64: LEFT OUT: $1"
  exit 0
}
command -v $compiler >/dev/null && command -v qemu-aarch64 >/dev/null || leave_out "no $compiler or no qemu-aarch64"

root=$PWD/$build/root
if [ ! -e "$root" ]; then
  here=(-oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oDir::State::Lists="$PWD/$build/lists")
  apt-get -q "${here[@]}" update >"$build/apt.log" 2>&1 || leave_out "apt-get has no package lists for arm64"
  (cd "$build/packages" && apt-get -q "${here[@]}" download libhwy-dev 'libhwy1*' >>../apt.log 2>&1) ||
    leave_out "apt-get has no libhwy for arm64"
  mkdir "$root.new"
  for package in "$build"/packages/*.deb; do dpkg -x "$package" "$root.new"; done
  mv "$root.new" "$root"
fi
# Only Highway's headers: the rest of that folder is this machine's C library.
ln -sfn "$root/usr/include/hwy" "$build/include/hwy"

mapfile -t library < <(grep -oE 'src/[a-z_/]+\.cpp' CMakeLists.txt)
mapfile -t cases < <(sed -n '/add_library(tokendraw_cases/,/)/s/^ *\([a-z_]*\.cpp\)$/tools\/tokendraw\/\1/p' \
  tools/tokendraw/CMakeLists.txt)
flags=(-std=c++20 -O2 -ffp-contract=off -Wall -Wextra -Wpedantic -Werror -Iinclude -Isrc -Itools/tokendraw)
print_tokens() { # $1: compiler, $2: output; the rest: further options
  "$1" "${flags[@]}" "${library[@]}" "${cases[@]}" tests/cross/print_tokens.cpp -o "$2" "${@:3}" -lhwy -lpthread
}
print_tokens g++ "$build/print_tokens_here"
print_tokens $compiler "$build/print_tokens_arm64" "-I$build/include" "-L$root/usr/lib/aarch64-linux-gnu" \
  "-Wl,-rpath-link,$root/usr/lib/aarch64-linux-gnu"

"$build/print_tokens_here" "$max_vocab" >"$build/here.txt"
qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$root/usr/lib/aarch64-linux-gnu" \
  "$build/print_tokens_arm64" "$max_vocab" >"$build/arm64.txt"
if ! diff "$build/here.txt" "$build/arm64.txt"; then
  echo "check_arm64: the hashes above differ: < this machine, > arm64" >&2
  exit 1
fi
if grep -qE ' .* ' "$build/here.txt"; then
  echo "check_arm64: SIMD targets differ:" >&2
  cat "$build/here.txt" >&2
  exit 1
fi
echo "check_arm64: the same tokens on $(uname -m) and on emulated arm64 up to vocabulary $max_vocab"
cat "$build/here.txt"
