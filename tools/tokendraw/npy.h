// SPDX-License-Identifier: Apache-2.0
// Reads a matrix of logits from NumPy's .npy format, versions 1 to 3
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace tokendraw::cli {

// What is wrong with the file, in one line without its name.
struct NpyError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class NpyElement {
  kFloat32,   // '<f4'
  kFloat16,   // '<f2'
  kUint16,    // '<u2'
  kOpaque16,  // '<V2' or '|V2': how NumPy writes the bfloat16 of ml_dtypes
};

const char* npy_element_name(NpyElement element);

struct NpyMatrix {
  NpyElement element = NpyElement::kFloat32;
  int64_t rows = 0;
  int64_t columns = 0;
  bool one_dimensional = false;       // the shape was (columns), not (rows, columns)
  std::unique_ptr<std::byte[]> data;  // rows * columns elements, C order, aligned for their type
};

// Reads to the end of the stream. Accepts shapes (columns) and (rows, columns) in C order, little endian, without a
// zero dimension, and not one byte more or less than the shape asks for. Memory grows with the bytes that are really
// there, whatever the header claims. Throws NpyError; std::bad_alloc where the file does not fit into memory.
NpyMatrix read_npy(std::istream& stream);

// The same from memory.
NpyMatrix read_npy(std::span<const std::byte> bytes);

}  // namespace tokendraw::cli
