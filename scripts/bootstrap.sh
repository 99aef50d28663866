#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what a purpose needs and this machine lacks: scripts/bootstrap.sh demo|test|ci|hip
# Needs a Debian or Ubuntu (apt-get), as root or by sudo. Does nothing, and asks for no rights, where nothing is missing.
set -euo pipefail

purpose=${1:-}
# package=probe. A probe is a command, or a header if it contains a slash; so that what was installed by other means
# than packages counts as well.
demo=(make=make g++=g++ cmake=cmake pkg-config=pkg-config libhwy-dev=hwy/highway.h libcli11-dev=CLI/CLI.hpp
      libfmt-dev=fmt/format.h nlohmann-json3-dev=nlohmann/json.hpp)
test=("${demo[@]}" libgtest-dev=gtest/gtest.h librapidcheck-dev=rapidcheck.h python3=python3
      libboost-context-dev=boost/context/detail/fcontext.hpp)
# Only version 14 of clang-format lays the code out as it is kept here; Ubuntu 24.04 has it as clang-format-14 too.
ci=("${test[@]}" clang=clang++ libclang-rt-dev=fuzzer/FuzzedDataProvider.h clang-format-14=clang-format-14
    clang-tidy-14=clang-tidy-14 ccache=ccache git=git g++-aarch64-linux-gnu=aarch64-linux-gnu-g++
    qemu-user=qemu-aarch64)
# The HIP backend and its examples. With a ROCm in /opt or $ROCM_PATH nothing of it is missing.
hip=("${demo[@]}" python3=python3 libgtest-dev=gtest/gtest.h clang-19=amd-clang lld-19=amd-lld clang-tools-19=amd-bundler
     llvm-19=llvm-readelf-19 libamdhip64-dev=hip/hip_runtime_api.h libhiprand-dev=hiprand/hiprand.h
     librocrand-dev=hiprand/hiprand.h)
case $purpose in
  demo) wanted=("${demo[@]}") ;;
  hip) wanted=("${hip[@]}") ;;
  test) wanted=("${test[@]}") ;;
  ci) wanted=("${ci[@]}") ;;
  *)
    echo "usage: scripts/bootstrap.sh demo|test|ci|hip" >&2
    exit 2
    ;;
esac

rocm=${ROCM_PATH:-/opt/rocm}
is_present() { # $1: command or header
  case $1 in
    amd-clang) [ -x "$rocm/llvm/bin/clang++" ] || command -v clang++-19 >/dev/null ;;
    amd-lld) [ -x "$rocm/llvm/bin/ld.lld" ] || command -v ld.lld-19 >/dev/null ;;
    amd-bundler) [ -x "$rocm/llvm/bin/clang-offload-bundler" ] || [ -x /usr/lib/llvm-19/bin/clang-offload-bundler ] ;;
    llvm-readelf-19) [ -x "$rocm/llvm/bin/llvm-readelf" ] || command -v "$1" >/dev/null ;;
    hip/* | hiprand/*) [ -e "$rocm/include/$1" ] || [ -e "/usr/include/$1" ] ;;
    fuzzer/*) command -v clang++ >/dev/null && echo "#include <$1>" | clang++ -x c++ -fsyntax-only - 2>/dev/null ;;
    */* | *.h) command -v g++ >/dev/null && echo "#include <$1>" | g++ -x c++ -fsyntax-only - 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing=()
for entry in "${wanted[@]}"; do
  is_present "${entry#*=}" || missing+=("${entry%%=*}")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

give_up() {
  echo "bootstrap: missing for '$purpose': ${missing[*]}" >&2
  echo "bootstrap: $1" >&2
  exit 1
}
command -v apt-get >/dev/null || give_up "this system has no apt-get: install what these Debian packages hold by hand."
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || give_up "not root, and there is no sudo: install these packages as root."
  as_root=(sudo)
  if ! [ -t 0 ]; then # nobody can type a password
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || give_up "not root, and sudo asks for a password: install these packages first."
  fi
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null; }
echo "bootstrap: installing ${missing[*]}"
apt update >/dev/null || echo "bootstrap: apt-get update failed; trying with the lists at hand" >&2
apt install -y --no-install-recommends "${missing[@]}" >/dev/null || give_up "apt-get install failed (see above)."
