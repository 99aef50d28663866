#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says in one line what this version leaves out, and what it would have found on this machine.
set -euo pipefail

found() { if [ -e "$1" ]; then echo "$2 seen here"; else echo "$3 seen here"; fi; }
cuda=$(found /dev/nvidiactl "an NVIDIA driver is" "no NVIDIA driver is")
hip=$(found /dev/kfd "an AMD driver is" "no AMD driver is")
echo "Left out: CUDA ($cuda) and HIP ($hip): this version has the CPU backend only."
