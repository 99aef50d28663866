// SPDX-License-Identifier: Apache-2.0
// .npy files made byte by byte, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace tokendraw::cli_test {

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Any header text, any data.
inline std::string npy_with_header(const std::string& header, const std::string& data, int version = 1) {
  const size_t preamble = version == 1 ? 10 : 12;
  std::string padded = header;
  while ((preamble + padded.size() + 1) % 64 != 0) padded += ' ';
  padded += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (size_t i = 0; i < preamble - 8; ++i) file += static_cast<char>(padded.size() >> (8 * i) & 0xff);
  return file + padded + data;
}

// `shape` as Python writes it, "(2, 3)".
inline std::string npy(const std::string& descr, const std::string& shape, const std::string& data, int version = 1) {
  const std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  return npy_with_header(header, data, version);
}

inline std::string npy_f32(const std::string& shape, const std::vector<float>& values) {
  return npy("<f4", shape, bytes_of(values));
}

}  // namespace tokendraw::cli_test
