#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one stage of continuous integration: scripts/ci_stage.sh NAME; without a name, lists the stages.
# Stages build in build/<name of the preset> and may be run in any order. JOBS sets how many processes work at once,
# FUZZ_SECONDS how long each fuzz target runs.
set -euo pipefail

cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
fuzz_seconds=${FUZZ_SECONDS:-30}
cache=()
if command -v ccache >/dev/null; then
  cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
name=${1:-}
# Where the kernel spreads addresses widely, sanitizers of clang 14 and gcc 12 do not find room for their shadow memory.
case $name in
  sanitize | tsan | fuzz)
    if [ "${TOKENDRAW_FIXED_ADDRESSES:-}" != tried ] && setarch "$(uname -m)" -R true 2>/dev/null; then
      TOKENDRAW_FIXED_ADDRESSES=tried exec setarch "$(uname -m)" -R "$PWD/scripts/ci_stage.sh" "$name"
    fi
    ;;
esac

configure() { # $1: preset; the rest: further options
  cmake --preset "$1" "${cache[@]}" --log-level=WARNING "${@:2}" >/dev/null
}

configure_and_build() { # as configure
  configure "$@"
  cmake --build --preset "$1" --parallel "$jobs" -- --no-print-directory -s
}

stage_format() { scripts/check_format.sh; }

stage_includes() { scripts/check_includes.py; }

stage_style() {
  scripts/check_style.py
  scripts/gpu_tables.py --check
}

# The default compiler, warnings as errors; every test, those of an installed shared library and of its symbols included.
stage_test() { make --no-print-directory test JOBS="$jobs"; }

# The static library by its consumers.
stage_consumers() {
  cmake --preset release "${cache[@]}" --log-level=WARNING -DBUILD_SHARED_LIBS=OFF -DTOKENDRAW_BUILD_TOOLS=OFF \
    -B build/static >/dev/null
  cmake --build build/static --parallel "$jobs" -- --no-print-directory -s
  JOBS=$jobs scripts/check_consumers.sh build/static
}

# Another compiler must give the same tokens when it optimises. Everything else is built by it in the stage `sanitize`.
stage_clang() {
  local labels=(draw golden agreement cases invariance blocks)
  configure clang -DTOKENDRAW_BUILD_EMULATED_GPU=OFF -DTOKENDRAW_BUILD_EXAMPLES=OFF
  cmake --build --preset clang --parallel "$jobs" --target "${labels[@]/#/tests_}" -- --no-print-directory -s
  ctest --preset clang --parallel "$jobs" --no-tests=error -L "$(IFS='|' && echo "${labels[*]}")"
}

stage_tidy() {
  configure clang -DTOKENDRAW_BUILD_EMULATED_GPU=ON # for its compile_commands.json
  scripts/run_clang_tidy.sh build/clang "$jobs"
}

stage_sanitize() {
  configure_and_build sanitize
  ctest --preset sanitize --parallel "$jobs" --no-tests=error --label-exclude distribution
}

# The CUDA backend, where there is a compiler for it. It needs no GPU: what asks for one is skipped, and says so.
stage_cuda() {
  local nvcc version log=build/cuda/build.log usage
  nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) || nvcc=
  version=$([ -z "$nvcc" ] || "$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
  if [ -z "$version" ] || [ "$(printf '%s\n' 12.8 "$version" | sort -V | head -n 1)" != 12.8 ]; then
    echo "Left out: no CUDA compiler of version 12.8 or newer is here (found: ${version:-none})."
    return
  fi
  # The oldest and one that has instructions of its own; the preset `release-cuda` has them all.
  configure cuda -DCMAKE_CUDA_COMPILER="$nvcc" -DTOKENDRAW_CUDA_ARCHITECTURES="75;90a" -DCMAKE_CUDA_FLAGS=-Xptxas=-v \
    -DTOKENDRAW_BUILD_EMULATED_GPU=OFF
  # ptxas tells the registers of what it compiles, so the kernels are compiled whatever was there.
  find build/cuda/CMakeFiles/tokendraw_cuda.dir -name '*.cu.o' -delete
  local targets=(tokendraw_cli tokendraw_cuda tests_cuda gpu_bench gpu_operations_bench)
  if ! cmake --build --preset cuda --parallel "$jobs" --target "${targets[@]}" -- --no-print-directory -s >"$log" 2>&1; then
    grep -v '^ptxas info\|bytes stack frame' "$log" | tail -n 40 >&2
    return 1
  fi
  # Two blocks of 512 threads share the 65536 registers of a multiprocessor, or three of 256 that hold rows, whose shared
  # memory beside the rows is what src/plan/gpu_plan.h says.
  usage=$(awk '/Compiling entry function/ { name = $0 } /Used [0-9]+ registers/ && name != "" {
    held = name ~ /sample_resident/
    match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5) + 0
    shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) + 0 : 0
    too_much = registers > (held ? 80 : 64) || (held && shared > 12 * 1024)
    print too_much ? "too much:" : "fits:", registers, "registers", shared, "bytes", name; name = "" }' "$log")
  if [ -z "$usage" ]; then
    echo "ci_stage: ptxas told no registers of any kernel" >&2
    return 1
  fi
  echo "kernels: $(wc -l <<<"$usage")"
  if grep '^too much:' <<<"$usage" >&2; then return 1; fi
  ctest --preset cuda --parallel "$jobs" --no-tests=error -L "^cuda$" >build/cuda/ctest.log || { cat build/cuda/ctest.log >&2; return 1; }
  echo "tests: $(grep -c "   Passed " build/cuda/ctest.log) passed, $(grep -c "(Skipped)$" build/cuda/ctest.log) skipped (without a GPU they say so)"
}

# The HIP backend, for every target or those in HIP_TARGETS, separated by semicolons. No AMD GPU runs the kernels; what is
# looked at is the code (no scratch memory, no spills, the table in docs/amd.md) and how the library does without a GPU.
# The stage `test` runs the same kernels on the emulator.
stage_hip() {
  local targets=${HIP_TARGETS:-gfx90a;gfx942;gfx1030;gfx1100;gfx1151;gfx1201} readelf log=build/hip/build.log
  if ! scripts/bootstrap.sh hip; then
    if apt-cache show clang-19 libamdhip64-dev >/dev/null 2>&1; then return 1; fi
    echo "Left out: this system has neither a ROCm nor the packages clang-19 and libamdhip64-dev."
    return
  fi
  readelf=$(command -v llvm-readelf-19 || echo "${ROCM_PATH:-/opt/rocm}/llvm/bin/llvm-readelf")
  configure hip "-DTOKENDRAW_HIP_TARGETS=$targets"
  local object target # code objects of other targets, which the table would count
  for object in build/hip/hip/*.co; do
    target=${object##*-}
    case ";$targets;" in *";${target%.co};"*) ;; *) rm -f "$object" ;; esac
  done
  if ! cmake --build --preset hip --parallel "$jobs" -- --no-print-directory -s >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    return 1
  fi
  scripts/hip_kernel_table.py build/hip/hip --readelf "$readelf" --check docs/amd.md
  scripts/check_hip_backend.sh build/hip
  ctest --preset hip --parallel "$jobs" --no-tests=error -R 'hip' >build/hip/ctest.log || { cat build/hip/ctest.log >&2; return 1; }
}

# Only what starts threads.
stage_tsan() {
  configure tsan -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DTOKENDRAW_BUILD_EXAMPLES=OFF
  cmake --build --preset tsan --parallel "$jobs" --target thread_test -- --no-print-directory -s
  ctest --preset tsan --parallel "$jobs" --no-tests=error -L threads
}

stage_fuzz() {
  configure sanitize
  cmake --build --preset sanitize --parallel "$jobs" --target fuzz_batch fuzz_npy -- --no-print-directory -s
  scripts/run_fuzzers.sh build/sanitize "$fuzz_seconds" "$jobs"
}

stage_arm64() { scripts/check_arm64.sh; }

# In this order: what fails fast comes first.
stages=(format includes style test consumers clang tidy cuda hip sanitize tsan fuzz arm64)
if [ -z "$name" ]; then
  printf '%s\n' "${stages[@]}"
elif declare -F "stage_$name" >/dev/null; then
  "stage_$name"
else
  echo "ci_stage: no stage '$name'; there are: ${stages[*]}" >&2
  exit 2
fi
