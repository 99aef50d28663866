// SPDX-License-Identifier: Apache-2.0
#include "request/random_row.h"
#include "cpu/operation_rows.h"

namespace tokendraw::cpu {
namespace {

template <typename Words>
void fill(request::RandomKind kind, Words words, int64_t count, unsigned char* output) {
  if (kind == request::RandomKind::kU64) {
    auto* to = reinterpret_cast<uint64_t*>(output);
    for (int64_t i = 0; i < count; ++i) to[i] = request::next_element(kind, words);
  } else {
    auto* to = reinterpret_cast<uint32_t*>(output);
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint32_t>(request::next_element(kind, words));
  }
}

}  // namespace

void random_row(const request::Operation& operation, int64_t row) {
  const request::RandomFill& o = operation.random;
  unsigned char* output = request::row_of(operation.output, row);
  if (o.generator == request::Generator::kXorwow) {
    fill(o.kind, request::xorwow_words(o, row, 0), operation.columns, output);
  } else {
    fill(o.kind, request::philox_words(o, row, 0), operation.columns, output);
  }
}

}  // namespace tokendraw::cpu
