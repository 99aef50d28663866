#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The CUDA backend of a build folder as its users meet it: scripts/check_cuda_backend.sh BUILD
# It exports its one function; the library needs nothing of CUDA; and where no device is, the library says so, and why,
# and samples on the CPU.
set -euo pipefail

build=$(cd "${1:?usage: scripts/check_cuda_backend.sh BUILD}" && pwd)
cd "$(dirname "$0")/.."
fail() {
  echo "check_cuda_backend: $*" >&2
  exit 1
}

library=$build/libtokendraw.so
backend=$build/libtokendraw_cuda.so
tokendraw=$build/tools/tokendraw/tokendraw
for file in "$library" "$backend" "$tokendraw"; do [ -e "$file" ] || fail "there is no $file"; done

exported=$(nm --dynamic --defined-only "$backend" | awk '{ print $NF }')
[ "$exported" = tokendraw_backend_table ] || fail "$backend exports more than tokendraw_backend_table:" $exported
for file in "$library" "$tokendraw"; do
  needed=$(readelf --dynamic --wide "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  if grep -qi 'cuda\|nvidia\|cublas' <<<"$needed"; then fail "$file needs" $needed; fi
done
# The driver is looked for when it is asked for something; without one, the backend must load all the same.
needed=$(readelf --dynamic --wide "$backend" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if grep -qi 'cuda\|nvidia' <<<"$needed"; then fail "$backend needs" $needed; fi

said=$("$tokendraw" info | sed -n 's/^backend cuda: //p')
echo "cuda: $said"
case $said in
  "not available: looking for devices: "?* | "not available: the driver knows no device"*) ;;
  available*)
    echo "check_cuda_backend: a device is here, so what happens without one was left out"
    exit 0
    ;;
  *) fail "tokendraw info does not say why cuda is not available: '$said'" ;;
esac

sample() { "$tokendraw" sample data/real_logits_128256_bf16.npy --dtype bf16 --rows 0:4 --top-k 50 --seed 1 --format csv "$@"; }
expected=$(sample --backend cpu)
[ "$(sample --backend auto)" = "$expected" ] || fail "backend auto does not sample as the cpu does"
[ "$(sample --backend cuda --on-gpu-failure use-cpu 2>/dev/null)" = "$expected" ] || fail "the cpu does not stand in"
status=0
sample --backend cuda >/dev/null 2>&1 || status=$?
[ $status -eq 4 ] || fail "a backend that is not available must be exit code 4, but it is $status"
echo "check_cuda_backend: without a device the cpu samples"
