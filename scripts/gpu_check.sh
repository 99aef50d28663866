#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that is to be known about tokendraw on this machine's NVIDIA GPU, in about twelve minutes on a fast one:
#   scripts/gpu_check.sh [--build DIR] [--out DIR] [--steps tests,check,sanitizer,bench,operations,profile,cpu] [--draws N] [--quick]
# --build: a build folder with TOKENDRAW_CUDA=ON, or what scripts/pack_gpu_build.sh made of one; without it, the preset
#          `cuda` is built for this GPU's architecture
# --out:   where the reports go [results/<gpu>-<date>]: facts.txt, tests.txt, check.txt, sanitizer.txt, bench.csv,
#          bench.txt, goals.txt (its cells beside their goals), rejection.csv (rejection sampling beside the exact
#          algorithm), operations.csv and .txt (the building blocks), profile.txt (what Nsight Compute counted), cpu.txt
#          (the CPU engine and sort on this machine), summary.txt
# --draws: how many draws `tokendraw check` compares [20000000]
# --quick: a tenth of everything
# Changes no setting of the GPU. Exit status: 0 if all steps passed, 1 if one did not, 2 for wrong arguments, 3 without
# a GPU. Each step has a time limit (in seconds, for a slower machine: TIME_FACTOR=3).
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
usage() { sed -n '3,15s/^# \{0,1\}//p' "$root/scripts/gpu_check.sh" >&2; }

build='' out='' steps=tests,check,sanitizer,bench,operations,profile,cpu draws='' quick=''
while [ $# -gt 0 ]; do
  case $1 in
    --build | --out | --steps | --draws)
      if [ $# -lt 2 ]; then usage && exit 2; fi
      declare "${1#--}=$2"
      shift 2
      ;;
    --quick) quick=1 && shift ;;
    *) usage && exit 2 ;;
  esac
done
for step in ${steps//,/ }; do
  case $step in tests | check | sanitizer | bench | operations | profile | cpu) ;; *) usage && exit 2 ;; esac
done
draws=${draws:-$([ -n "$quick" ] && echo 1000000 || echo 20000000)}
jobs=${JOBS:-$(nproc)}
time_factor=${TIME_FACTOR:-1}

if ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || [ -z "$gpu" ]; then
  echo "gpu_check: nvidia-smi finds no GPU" >&2
  exit 3
fi
memory_mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
if [ -z "$out" ]; then
  short=$(tr '[:upper:]' '[:lower:]' <<<"$gpu" | sed 's/^nvidia //; s/^geforce //; s/[^a-z0-9]\+/-/g')
  out=results/$short-$(date -u +%Y-%m-%d)
fi
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- Steps: each writes a report, and its line of the summary.
failed=0
summary=()
conclude() { # $1: step, $2: exit status, $3: seconds, $4: what to say
  local verdict=passed
  if [ "$2" -ne 0 ]; then verdict=FAILED failed=1; fi
  summary+=("$(printf '%-10s %-7s %5d s  %s' "$1" "$verdict" "$3" "$4")")
}
limited() { timeout --kill-after=10 "$(($1 * time_factor))" "${@:2}"; }

program() { # the path of a program in a pack or in a build folder
  local path
  for path in "$build/bin/$1" "$build/examples/$1" "$build/tools/tokendraw/$1" "$build/tests/$1" "$build/tests/gpu/cuda/$1" "$build/bench/$1"; do
    if [ -x "$path" ] && [ ! -d "$path" ]; then echo "$path" && return; fi
  done
  echo "gpu_check: $build has no program $1" >&2
  return 1
}

if [ -z "$build" ]; then
  build=$root/build/cuda
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  if [ "$capability" = 90 ]; then capability=90a; fi # with what only this architecture has
  start=$SECONDS
  {
    cmake --preset cuda -DTOKENDRAW_CUDA_ARCHITECTURES="$capability" &&
      cmake --build --preset cuda --parallel "$jobs" --target gpu_programs
  } >"$out/build.txt" 2>&1
  status=$?
  conclude build $status $((SECONDS - start)) "preset cuda for $capability"
  if [ $status -ne 0 ]; then
    tail -n 20 "$out/build.txt" >&2
    exit 1
  fi
fi
build=$(cd "$build" && pwd) || exit 2
if [ -d /usr/local/cuda/lib64 ]; then # cuRAND, for one example
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64
fi
if [ -d "$build/bin" ]; then export LD_LIBRARY_PATH=$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
export TOKENDRAW_TEST_DATA=$root/data

{
  echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  if [ -f "$build/build.txt" ]; then cat "$build/build.txt"; else
    echo "commit: $(git rev-parse HEAD 2>/dev/null || echo unknown)"
  fi
  echo "kernel: $(uname -sr)"
  echo "processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads"
  echo "nvcc: $(nvcc --version 2>/dev/null | sed -n 's/^Cuda compilation tools, //p')"
  nvidia-smi --query-gpu=index,name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.memory,power.limit,ecc.mode.current \
    --format=csv
  echo
  "$(program tokendraw)" info
} >"$out/facts.txt" 2>&1

# One test program, or a part of one; its report is a file of its own. $1: TOKENDRAW_TEST_CUDA, $2: program,
# $3: filter, $4: number of the part, $5: of how many parts, $6: seconds.
run_test() {
  local report="$work/$2.$4.of.$5.report" start=$SECONDS status
  TOKENDRAW_TEST_CUDA=$1 GTEST_TOTAL_SHARDS=$5 GTEST_SHARD_INDEX=$4 timeout --foreground "$(($6 * time_factor))" \
    "$(program "$2")" --gtest_brief=1 "--gtest_filter=$3" >"$report.text" 2>&1
  status=$?
  {
    echo "==== $2, part $(($4 + 1)) of $5: exit status $status, $((SECONDS - start)) s"
    grep -v '^Running main() from\|^Note: This is test shard' "$report.text" | sed 's#^/.*/tests/#tests/#'
  } >"$report"
  rm "$report.text"
  if [ "$status" -ne 0 ]; then touch "$work/a_test_failed"; fi
}

step_tests() {
  local part name
  if [ -n "$quick" ]; then export TOKENDRAW_TEST_QUICK=1; fi
  # Those that use much of the device's memory, or measure it, one after the other.
  for name in cuda_exponential_test cuda_memory_test cuda_stream_test cuda_large_test cuda_graph_test cuda_operations_test; do
    run_test 0 "$name" '*' 0 1 90
  done
  if [ -z "$quick" ] && [ "$memory_mib" -gt 40000 ]; then run_test only large_batch_test '*' 0 1 60; fi
  # The others side by side, the longest first.
  # shellcheck disable=SC2016 # expanded by the inner bash
  {
    for part in {0..3}; do echo "0 cuda_cases_test -*CaseList* $part 4"; done
    for name in crowded estimate nucleus; do echo "0 cuda_${name}_test * 0 1"; done
    for name in random_search distribution cases_inputs; do
      for part in {0..3}; do echo "only ${name}_test * $part 4"; done
    done
    for part in {0..15}; do echo "0 cuda_cases_test *CaseList* $part 16"; done
    for name in real_logits golden cases_filters cases_values invariance memory_invariance; do
      for part in 0 1; do echo "only ${name}_test * $part 2"; done
    done
  } | xargs -P "$jobs" -I '{}' bash -c 'read -r -a words <<<"$1"; run_test "${words[@]}" 200' _ '{}'
  # The examples with device memory, which fail if they find anything wrong.
  for name in example_device_sampling_c example_device_sampling_cpp example_curand_numbers; do
    if ! program "$name" >/dev/null 2>&1 || ldd "$(program "$name")" | grep 'not found'; then
      echo "$name is left out: it, or a library that it needs, is not here"
      continue
    fi
    run_test 0 "$name" '*' 0 1 60
  done
  cat "$work"/*.report
  [ ! -e "$work/a_test_failed" ]
}

# One process a dtype (more would wait for one another: the GPU serves processes in turns) goes through the list with one
# seed after the other, rows of up to 33000 logits, until all have made the draws asked for; before that
# a twentieth of the list, rows of any length. At last the distributions, which have a pinned seed, and a twentieth of the
# list by every way that blocks work on a row, and the building blocks.
step_check() {
  local tokendraw dtype way ids=() status=0 made
  tokendraw=$(program tokendraw) || return 1
  draws_made() { cat "$work"/check.* | awk '$6 == "comparisons:" { made += $5 } END { print made + 0 }'; }
  for dtype in f32 f16 bf16; do
    (
      "$tokendraw" check --backend cuda --against engine --filter "/$dtype/" --quick || exit 1
      for ((seed = 0; $(draws_made) < draws; ++seed)); do
        "$tokendraw" check --backend cuda --against engine --filter "/$dtype/" --max-vocab 33000 --seed "$seed" \
          ${quick:+--quick} || exit 1
      done
    ) >"$work/check.$dtype" 2>&1 &
    ids+=($!)
  done
  for id in "${ids[@]}"; do wait "$id" || status=1; done
  "$tokendraw" check --backend cuda --filter distribution/ ${quick:+--quick} >"$work/check.last" 2>&1 || status=1
  "$tokendraw" check --backend cuda --filter blocks/ ${quick:+--quick} >"$work/check.blocks" 2>&1 || status=1
  for way in block small-block split cluster; do
    "$tokendraw" check --backend cuda --against engine --gpu-way "$way" --quick >"$work/check.way.$way" 2>&1 || status=1
  done
  cat "$work"/check.*
  made=$(draws_made)
  echo "in all: $made draws compared"
  [ "$made" -ge "$draws" ] && return "$status"
}

# Of a cluster that holds a row, blocks wait for the messages of others before they end, but racecheck knows barriers
# alone. So it says that a block "might have already exited" of the atomic with which others ask for places in the first
# block's list (send_candidates in src/gpu/kernels/resident_candidates.h), and of the reads by which they add up each
# other's histograms (find_rough_bucket in resident_nucleus.h), after which a message tells the block that was read.
# Whether a report says nothing else.
only_asks_waiting_blocks() {
  awk '
    /^========= Potential invalid __shared__ atomic of size 4 bytes/ { asked = NR; next }
    /^========= Potential invalid __shared__ read of size 4 bytes/ { looked = NR; next }
    asked > 0 && asked == NR - 1 && /sample_resident/ { known++; next }
    looked > 0 && looked == NR - 1 && /finish_nucleus/ { known++; next }
    /^========= (Potential|Error|Warning|Invalid|Race|Fatal|Barrier)/ || / hazard .*at / { other++ }
    /RACECHECK SUMMARY/ { match($0, /[(][0-9]+ errors, 0 warnings/); all = substr($0, RSTART + 1) + 0 }
    END { exit !(known > 0 && other + 0 == 0 && known == all) }' "$1" && grep -q '^\[  PASSED  \] ' "$1"
}

# Every kernel once or more under each tool, every array an allocation of its own so that its end is seen.
step_sanitizer() {
  local sanitizer tests tool status=0
  sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer ||
    command -v /usr/local/cuda/compute-sanitizer/compute-sanitizer) ||
    { echo "compute-sanitizer is not installed" && return 1; }
  tests=$(program cuda_cases_test) || return 1
  local ids=() tools=(memcheck racecheck initcheck synccheck) limit of_tool
  for tool in "${tools[@]}"; do
    limit=$([ "$tool" = racecheck ] && echo 100000 || echo 20)
    TOKENDRAW_TEST_OWN_ALLOCATIONS=1 "$sanitizer" --tool "$tool" --error-exitcode 9 --print-limit "$limit" \
      "$tests" --gtest_brief=1 --gtest_filter='*EveryKernel*' >"$work/sanitizer.$tool" 2>&1 &
    ids+=($!)
  done
  for tool in "${tools[@]}"; do
    of_tool=0
    wait "${ids[0]}" || of_tool=1
    ids=("${ids[@]:1}")
    echo "==== $tool"
    grep -v 'Host Frame\|Saved host backtrace' "$work/sanitizer.$tool" | tail -n 400
    if [ "$tool" = racecheck ] && [ $of_tool -ne 0 ] && only_asks_waiting_blocks "$work/sanitizer.$tool"; then
      of_tool=0
      echo "nothing but what racecheck cannot know: blocks that are asked for places, or read, wait for who does it"
    fi
    if [ $of_tool -ne 0 ]; then status=1; fi
  done
  return "$status"
}

step_bench() {
  local bench logits=data/real_logits_128256_bf16.npy
  bench=$(program gpu_bench) || return 1
  "$bench" --logits $logits --out "$out/bench.csv" ${quick:+--quick} &&
    "$bench" --logits $logits --out "$out/rejection.csv" ${quick:+--quick} --algorithm auto rejection --vocab 128256 \
      --batch 1 16 64 512 --filter top-k top-k+top-p min-p top-p --data real normal1 ascending two-valued &&
    scripts/gpu_goals.py "$out/bench.csv" >"$out/goals.txt"
}

# The building blocks, beside one read and one write.
step_operations() {
  "$(program gpu_operations_bench)" --logits data/real_logits_128256_bf16.npy --out "$out/operations.csv" ${quick:+--quick}
}

# What Nsight Compute counts of one call of each kind, where it is installed and may look: bytes read beside those of the
# logits, instructions, issue slots taken, warps that are active.
step_profile() {
  local ncu bench filter batch dtype status=0
  ncu=$(command -v ncu || command -v /usr/local/cuda/bin/ncu) || { echo "ncu is not installed: left out" && return 0; }
  bench=$(program gpu_bench) || return 1
  local metrics=gpu__time_duration.sum,dram__bytes_read.sum,sm__inst_executed.sum
  metrics+=,sm__inst_issued.avg.pct_of_peak_sustained_active,sm__warps_active.avg.pct_of_peak_sustained_active
  for batch in 1 64 512; do
    for filter in greedy none top-k+top-p top-p; do
      for dtype in f32 bf16; do
        echo "==== $filter, $dtype, batch $batch, $((batch * 128256 * $([ $dtype = f32 ] && echo 4 || echo 2))) bytes of logits"
        "$ncu" --clock-control none -k 'regex:sample_|split_' --launch-skip 4 --launch-count 1 --metrics "$metrics" \
          "$bench" --quick --logits data/real_logits_128256_bf16.npy --vocab 128256 --dtype $dtype --data real \
          --filter $filter --batch $batch --out "$work/profile.csv" >"$work/profile.text" 2>&1
        status=$?
        if [ $status -ne 0 ] && [ ! -e "$work/profiled" ]; then
          echo "left out, for the counters cannot be read here:" && tail -n 5 "$work/profile.text" && return 0
        fi
        if [ $status -ne 0 ]; then return $status; fi
        touch "$work/profiled"
        grep -E '__|^ *void|Context' "$work/profile.text" || tail -n 3 "$work/profile.text"
      done
    done
  done
}

# What the GPU is compared with: one thread of this machine's processor, by the library's CPU engine and by sort.
step_cpu() {
  "$(program tokendraw)" bench --data real,normal1 --dtypes f32,bf16 --time "$([ -n "$quick" ] && echo 0.05 || echo 0.2)"
}

# What the summary says of a report.
remark_on() {
  case $1 in
    tests)
      echo "$(grep -c '^====.*exit status 0,' "$out/tests.txt") of $(grep -c '^====' "$out/tests.txt") test runs passed"
      grep '^====' "$out/tests.txt" | grep -v 'exit status 0,' | sed 's/^==== /    /'
      ;;
    check) tail -n 1 "$out/check.txt" ;;
    sanitizer) grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$out/sanitizer.txt" | sed 's/=* *//' | sort | uniq -c | tr -s ' \n' ' ' ;;
    cpu) echo "$(grep -c '^[a-z]' "$out/cpu.txt") lines in cpu.txt" ;;
    profile) echo "$(grep -c '^====' "$out/profile.txt") calls in profile.txt" ;;
    operations) echo "$(($(wc -l <"$out/operations.csv" 2>/dev/null || echo 1) - 1)) lines in operations.csv" ;;
    bench) echo "$(($(wc -l <"$out/bench.csv" 2>/dev/null || echo 1) - 1)) lines in bench.csv" ;;
  esac
}

declare -A limits=([tests]=220 [check]=400 [sanitizer]=300 [bench]=180 [operations]=90 [profile]=240 [cpu]=60)
export -f only_asks_waiting_blocks step_tests step_check step_sanitizer step_bench step_operations step_profile step_cpu run_test program
export work build out jobs draws quick time_factor memory_mib
for step in ${steps//,/ }; do
  start=$SECONDS
  limited "${limits[$step]}" bash -c "step_$step" >"$out/$step.txt" 2>&1
  status=$?
  if [ $status -eq 124 ] || [ $status -eq 137 ]; then
    echo "gpu_check: stopped after ${limits[$step]} s (times TIME_FACTOR $time_factor)" >>"$out/$step.txt"
    cat "$work"/*.report "$work"/check.* "$work"/sanitizer.* >>"$out/$step.txt" 2>/dev/null
  fi
  rm -f "$work"/*.report "$work"/check.* "$work"/sanitizer.*
  conclude "$step" $status $((SECONDS - start)) "$(remark_on "$step")"
done

{
  echo "$gpu"
  printf '%s\n' "${summary[@]}"
} | tee "$out/summary.txt"
echo "reports: $out"
exit $failed
