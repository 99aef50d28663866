#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Samples the shipped logits of a real language model with the built command line: scripts/demo.sh BUILD_DIR
set -euo pipefail

build=${1:?usage: scripts/demo.sh BUILD_DIR}
cd "$(dirname "$0")/.."
tokendraw=$(find "$build" -type f -name tokendraw -perm -u+x -print -quit)
if [ -z "$tokendraw" ]; then
  echo "demo: no command line was built in $build" >&2
  exit 1
fi
command=("$tokendraw" sample data/real_logits_128256_bf16.npy --dtype bf16 --temperature 0.8 --top-k 50 --top-p 0.9
  --seed 1)
echo "24 rows of real logits, vocabulary 128256, bf16 (data/real_logits_128256.json tells their contexts):"
echo "\$ ${command[*]}"
"${command[@]}"
scripts/say_left_out.sh "$build"
