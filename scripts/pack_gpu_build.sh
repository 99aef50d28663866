#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs what scripts/gpu_check.sh needs of a build with TOKENDRAW_CUDA=ON into a folder that can be carried to a machine
# with a GPU and no compiler, together with the source tree: scripts/pack_gpu_build.sh BUILD FOLDER
# The folder gets bin/ (programs, stripped) and lib/ (the library, the backend, and the shared libraries that the
# programs need, but for those of glibc and GCC, which every Linux with a compiler has, and cuRAND's, of the toolkit). It
# must not exist yet, or be an earlier pack.
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: scripts/pack_gpu_build.sh BUILD FOLDER" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
folder=$2
max_mib=60

if [ -e "$folder" ] && [ ! -e "$folder/bin/tokendraw" ]; then
  echo "pack_gpu_build: $folder exists and is no earlier pack" >&2
  exit 2
fi
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib"

# Programs: cmake/gpu_programs.cmake lists them.
if [ ! -e "$build/gpu_programs.txt" ]; then
  echo "pack_gpu_build: $build is not configured with TOKENDRAW_CUDA, TOKENDRAW_BUILD_TOOLS and TOKENDRAW_BUILD_TESTS" >&2
  exit 1
fi
mapfile -t programs <"$build/gpu_programs.txt"
for path in "${programs[@]}"; do
  if [ ! -x "$path" ]; then
    echo "pack_gpu_build: there is no $path: build the target gpu_programs" >&2
    exit 1
  fi
done

shopt -s nullglob
libraries=("$build"/libtokendraw.so.? "$build"/libtokendraw_cuda.so.?)
if [ ${#libraries[@]} -ne 2 ]; then
  echo "pack_gpu_build: $build has no libtokendraw.so.N and libtokendraw_cuda.so.N: a shared build is needed" >&2
  exit 1
fi
for library in "${libraries[@]}"; do cp -L "$library" "$folder/lib/"; done
for path in "${programs[@]}"; do cp -L "$path" "$folder/bin/"; done

of_the_system='^(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libcurand)[-.]'
for file in "$folder"/bin/* "$folder"/lib/*; do LD_LIBRARY_PATH=$folder/lib ldd "$file"; done |
  awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | while read -r name path; do
  if [[ $name =~ $of_the_system ]] || [ -e "$folder/lib/$name" ]; then continue; fi
  cp -L "$path" "$folder/lib/$name"
done
strip --strip-unneeded "$folder"/bin/* "$folder"/lib/*

# What it was built from: facts.txt of a run says so where the tree has no history.
commit=unknown
root=$(cd "$(dirname "$0")/.." && pwd)
if git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
  commit=$(git -C "$root" rev-parse HEAD)
  if [ -n "$(git -C "$root" status --porcelain)" ]; then commit="$commit, with changes"; fi
fi
{
  echo "commit: $commit"
  echo "compiler: $(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")"
  echo "architectures: $(sed -n 's/^TOKENDRAW_CUDA_ARCHITECTURES:[A-Z]*=//p' "$build/CMakeCache.txt")"
  echo "build type: $(sed -n 's/^CMAKE_BUILD_TYPE:[A-Z]*=//p' "$build/CMakeCache.txt")"
} >"$folder/build.txt"

bytes=$(find "$folder" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
echo "pack_gpu_build: $folder: $(find "$folder" -type f | wc -l) files, $((bytes / 1048576)) MiB"
if [ "$bytes" -ge $((max_mib * 1048576)) ]; then
  echo "pack_gpu_build: more than $max_mib MiB; build for fewer architectures (TOKENDRAW_CUDA_ARCHITECTURES)" >&2
  exit 1
fi
