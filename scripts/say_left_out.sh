#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says in one line each what a build leaves out, and what it would have found on this machine:
# scripts/say_left_out.sh BUILD
set -euo pipefail

build=${1:?usage: scripts/say_left_out.sh BUILD}
seen() { if [ -e "$1" ]; then echo "an $2 driver is seen here"; else echo "no $2 driver is seen here"; fi; }

if [ ! -e "$build/libtokendraw_cuda.so" ]; then
  nvidia=$(seen /dev/nvidiactl "NVIDIA")
  echo "Left out: CUDA. Its backend is not part of this build (make install CUDA=1 builds it); $nvidia."
elif [ ! -e /dev/nvidiactl ]; then
  echo "Left out: CUDA on a device. Its backend is built, but no NVIDIA driver is seen here: the CPU samples."
fi
if [ ! -e "$build/libtokendraw_hip.so" ]; then
  echo "Left out: HIP. Its backend is not part of this build (make install HIP=1 builds it); $(seen /dev/kfd "AMD")."
elif [ ! -e /dev/kfd ]; then
  echo "Left out: HIP on a device. Its backend is built, but no AMD driver is seen here: the CPU samples."
fi
