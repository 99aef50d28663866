// SPDX-License-Identifier: Apache-2.0
// Softmax calls for tests: rows of every kind, with everything that a caller may choose, and their output as bytes.
#pragma once

#include <stored_logit.h>
#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tokendraw::cases {

struct SoftmaxCase {
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  TokendrawDtype output_dtype = TOKENDRAW_DTYPE_F32;
  int32_t vocab = 1000;
  bool log = false;
  bool in_place = false;
  int64_t gap = 0;   // elements between rows
  int32_t lead = 0;  // elements before the first row, so that rows begin anywhere
  uint32_t seed = 1;

  std::string text() const {
    return std::string(tokendraw_dtype_name(dtype)) + " to " + tokendraw_dtype_name(output_dtype) + ", vocab " +
           std::to_string(vocab) + (log ? ", log" : "") + (in_place ? ", in place" : "") + ", gap " +
           std::to_string(gap) + ", lead " + std::to_string(lead) + ", seed " + std::to_string(seed);
  }
};

inline constexpr int64_t kSoftmaxRows = 12;

// Memory of a call: filled before it, compared after it, gaps included.
struct SoftmaxCall {
  std::vector<unsigned char> input;
  std::vector<unsigned char> output;
  std::vector<float> temperatures;
  std::vector<uint32_t> status = std::vector<uint32_t>(kSoftmaxRows, 0xabcdu);
  TokendrawSoftmax softmax;

  explicit SoftmaxCall(const SoftmaxCase& c) {
    const int64_t stride = c.vocab + c.gap;
    const int64_t elements = c.lead + kSoftmaxRows * stride;
    const size_t in_bytes = dtype_bytes(c.dtype);
    const size_t out_bytes = dtype_bytes(c.output_dtype);
    input.assign(static_cast<size_t>(elements) * in_bytes, 0xff);  // NaN between the rows
    output.assign(static_cast<size_t>(elements) * out_bytes, 0x5a);
    for (int64_t row = 0; row < kSoftmaxRows; ++row) fill_row(c, row, c.lead + row * stride);
    tokendraw_init_softmax(&softmax);
    softmax.input = input.data() + static_cast<size_t>(c.lead) * in_bytes;
    softmax.dtype = c.dtype;
    softmax.vocab = c.vocab;
    softmax.rows = kSoftmaxRows;
    softmax.input_stride = stride;
    softmax.temperature_per_row = temperatures.data();
    softmax.log = c.log ? 1 : 0;
    softmax.output =
        c.in_place ? const_cast<void*>(softmax.input) : output.data() + static_cast<size_t>(c.lead) * out_bytes;
    softmax.output_dtype = c.output_dtype;
    softmax.output_stride = stride;
    softmax.row_status = status.data();
  }
  SoftmaxCall(const SoftmaxCall&) = delete;
  SoftmaxCall& operator=(const SoftmaxCall&) = delete;

  float logit(int64_t row, int64_t id) const {
    return load_logit(softmax.input, row * softmax.input_stride + id, softmax.dtype);
  }
  float result(int64_t row, int64_t id) const {
    return load_logit(softmax.output, row * softmax.output_stride + id, softmax.output_dtype);
  }

 private:
  // Row kinds: 0 to 3 normal of several widths, 4 flat, 5 ties in steps, 6 peaked, 7 NaN and -inf among others, 8 +inf
  // twice, 9 all -inf, 10 greedy by temperature 0, 11 a temperature that is no value.
  void fill_row(const SoftmaxCase& c, int64_t row, int64_t first) {
    std::mt19937 engine(c.seed * 1000 + static_cast<uint32_t>(row));
    std::normal_distribution<float> normal(0.0f, row == 1 ? 5.0f : row == 2 ? 20.0f : 2.0f);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (int32_t id = 0; id < c.vocab; ++id) {
      float x = normal(engine);
      if (row == 4) x = 3.25f;
      if (row == 5) x = static_cast<float>(engine() % 5) - 7.0f;
      if (row == 6) x = id == c.vocab / 2 ? 60.0f : x;
      if (row == 7 && engine() % 3 == 0) x = engine() % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : -kInfinity;
      if (row == 7 && id == c.vocab - 1) x = 1.0f;
      if (row == 8 && (id == 0 || id == c.vocab - 1)) x = kInfinity;
      if (row == 9) x = -kInfinity;
      if (row == 10) x = id % 7 == 3 ? 9.0f : x > 8.0f ? 8.0f : x;
      store_logit_bits(input.data(), first + id, c.dtype, encode_logit(x, c.dtype));
    }
    constexpr float kTemperatures[] = {1.0f, 0.7f, 1.5f, kInfinity, 1.0f, 0.05f, 1.0f, 2.0f, 1.0f, 1.0f, 0.0f, -1.0f};
    temperatures.push_back(kTemperatures[row]);
  }
};

// Cases in which every value of each dimension occurs, and every pair of dtypes.
inline std::vector<SoftmaxCase> softmax_cases(const std::vector<int32_t>& vocabs) {
  std::vector<SoftmaxCase> list;
  uint32_t seed = 0;
  for (const int32_t vocab : vocabs) {
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
      for (const auto output_dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
        ++seed;
        SoftmaxCase c = {dtype, output_dtype, vocab, seed % 2 == 0};
        c.gap = seed % 3 == 0 ? 5 : seed % 3 == 1 ? 0 : 8;
        c.lead = seed % 4 == 0 ? 1 : 0;
        c.seed = seed;
        list.push_back(c);
        c.log = !c.log;
        c.in_place = dtype_bytes(dtype) == dtype_bytes(output_dtype);
        list.push_back(c);
      }
    }
  }
  return list;
}

}  // namespace tokendraw::cases
