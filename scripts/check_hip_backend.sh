#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The HIP backend of a build folder as its users meet it: scripts/check_hip_backend.sh BUILD
# It exports its one function; the library needs nothing of HIP; and where the runtime is missing or finds no device, the
# library says so, and why, and samples on the CPU.
set -euo pipefail

build=$(cd "${1:?usage: scripts/check_hip_backend.sh BUILD}" && pwd)
cd "$(dirname "$0")/.."
fail() {
  echo "check_hip_backend: $*" >&2
  exit 1
}

library=$build/libtokendraw.so
backend=$build/libtokendraw_hip.so
tokendraw=$build/tools/tokendraw/tokendraw
selftest=$build/tools/hip_selftest/tokendraw-hip-selftest
for file in "$library" "$backend" "$tokendraw" "$selftest"; do [ -e "$file" ] || fail "there is no $file"; done

exported=$(nm --dynamic --defined-only "$backend" | awk '{ print $NF }')
[ "$exported" = tokendraw_backend_table ] || fail "$backend exports more than tokendraw_backend_table:" $exported
for file in "$library" "$tokendraw"; do
  needed=$(readelf --dynamic --wide "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  if grep -qi 'hip\|hsa\|roc' <<<"$needed"; then fail "$file needs" $needed; fi
done
# The runtime must not see the kernels before a device is opened (src/gpu/platform/hip_modules.h).
if nm --dynamic --undefined-only "$backend" | grep '__hipRegister'; then fail "$backend registers its kernels with the runtime"; fi

sample() { "$tokendraw" sample data/real_logits_128256_bf16.npy --dtype bf16 --rows 0:4 --top-k 50 --seed 1 --format csv "$@"; }
expected=$(sample --backend cpu)
cpu_stands_in() {
  [ "$(sample --backend auto)" = "$expected" ] || fail "backend auto does not sample as the cpu does"
  [ "$(sample --backend hip --on-gpu-failure use-cpu 2>/dev/null)" = "$expected" ] || fail "the cpu does not stand in"
  local status=0
  sample --backend hip >/dev/null 2>&1 || status=$?
  [ $status -eq 4 ] || fail "a backend that is not available must be exit code 4, but it is $status"
}

said=$("$tokendraw" info | sed -n 's/^backend hip: //p')
echo "hip: $said"
case $said in
  "not available: looking for devices: "?* | "not available: the driver knows no device"*)
    cpu_stands_in
    status=0
    said=$("$selftest") || status=$?
    [ $status -eq 3 ] && grep -q 'no device: ' <<<"$said" || fail "the self-test says '$said', exit code $status"
    ;;
  available*) echo "check_hip_backend: a device is here, so what happens without one was left out" ;;
  *) fail "tokendraw info does not say why hip is not available: '$said'" ;;
esac

# Without the HIP runtime: a file in its place that is none.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
runtime=$(readelf --dynamic --wide "$backend" | sed -n 's/.*(NEEDED).*\[\(libamdhip64.*\)\]/\1/p')
[ -n "$runtime" ] || fail "$backend needs no libamdhip64"
echo "no library" >"$folder/$runtime"
export LD_LIBRARY_PATH=$folder
said=$("$tokendraw" info | sed -n 's/^backend hip: //p')
case $said in
  "not available: libtokendraw_hip.so."*" cannot be loaded: "?*) cpu_stands_in ;;
  *) fail "tokendraw info does not say that the runtime is missing: '$said'" ;;
esac
echo "check_hip_backend: without a device, and without the runtime, the cpu samples"
