// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: the command line's reader of .npy files. Any bytes give a matrix that is whole, or NpyError.
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#include "npy.h"

namespace {

using tokendraw::cli::NpyElement;
using tokendraw::cli::NpyError;
using tokendraw::cli::NpyMatrix;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz_npy: %s\n", what);
  std::abort();
}

size_t matrix_bytes(const NpyMatrix& matrix) {
  const size_t element = matrix.element == NpyElement::kFloat32 ? 4 : 2;
  return static_cast<size_t>(matrix.rows) * static_cast<size_t>(matrix.columns) * element;
}

// The first read of the sum touches every byte that the matrix claims to own.
unsigned checksum(const NpyMatrix& matrix) {
  unsigned sum = 0;
  for (size_t i = 0; i < matrix_bytes(matrix); ++i) sum = sum * 31 + std::to_integer<unsigned>(matrix.data[i]);
  return sum;
}

void check_matrix(const NpyMatrix& matrix, size_t file_bytes) {
  require(matrix.rows >= 1 && matrix.columns >= 1, "a shape without elements");
  require(!matrix.one_dimensional || matrix.rows == 1, "one dimension, but several rows");
  require(matrix_bytes(matrix) < file_bytes, "more data than the file holds");
  require(reinterpret_cast<uintptr_t>(matrix.data.get()) % 4 == 0, "data that is not aligned");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bool read = false;
  unsigned sum = 0;
  try {
    const NpyMatrix matrix = tokendraw::cli::read_npy(std::as_bytes(std::span(data, size)));
    check_matrix(matrix, size);
    read = true;
    sum = checksum(matrix);
  } catch (const NpyError& error) {
    const std::string text = error.what();
    require(!text.empty() && text.find('\n') == std::string::npos, "an error that is not one line");
  }
  // A stream, as of standard input, gives the same.
  std::istringstream stream(std::string(reinterpret_cast<const char*>(data), size));
  try {
    const NpyMatrix matrix = tokendraw::cli::read_npy(stream);
    require(read && sum == checksum(matrix), "the stream's matrix is another than that of the memory");
  } catch (const NpyError&) {
    require(!read, "the stream is refused, the memory is not");
  }
  return 0;
}
