// SPDX-License-Identifier: Apache-2.0
// Reproducible random test data: the same on every standard library.
#pragma once

#include <row_kinds.h>

#include <cstdint>
#include <random>
#include <vector>

#include "support/batch_spec.h"

namespace tokendraw::test {

class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : engine_(seed) {}

  uint64_t bits() { return engine_(); }
  uint64_t below(uint64_t bound) { return engine_() % bound; }  // the bias is of no consequence here
  int64_t between(int64_t first, int64_t last) {
    return first + static_cast<int64_t>(below(static_cast<uint64_t>(last - first + 1)));
  }
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  float uniform(float low, float high) { return low + static_cast<float>(unit()) * (high - low); }
  float normal();
  bool chance(double probability) { return unit() < probability; }

  template <typename Values>
  auto one_of(const Values& values) {
    return values[below(values.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// A row of one of the kinds of the case list.
std::vector<float> make_logits(cases::RowKind kind, int32_t vocab, TokendrawDtype dtype, TestRandom& random);

// Any floats: NaN, infinities, subnormals, zeros of both signs, the largest, and every other bit pattern.
std::vector<float> make_wild_logits(int32_t vocab, TokendrawDtype dtype, TestRandom& random);

// Temperature, filters, seed, stream and offset, special values among them; valid unless `allow_bad`.
RowSpec make_row_parameters(int32_t vocab, TestRandom& random, bool allow_bad);

// What add_row_inputs may give a row.
struct RowInputs {
  bool mask = false;
  bool dense_bias = false;
  bool sparse_bias = false;
  bool history = false;
  bool bad_ids = false;  // ids outside the vocabulary and repeated ones among those listed
};
void add_row_inputs(RowSpec& row, int32_t vocab, const RowInputs& inputs, TestRandom& random);

}  // namespace tokendraw::test
