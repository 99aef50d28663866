// SPDX-License-Identifier: Apache-2.0
// One output row of a request with its parameters resolved: what the engine and the reference start from.
#pragma once

#include <cstdint>

#include "request/request.h"

namespace tokendraw::cpu {

// The entries of one row in a bias or history list.
struct ListSlice {
  const int32_t* ids = nullptr;
  const float* values = nullptr;    // of a bias
  const int32_t* counts = nullptr;  // of a history; nullptr: 1 each
  int64_t size = 0;
};

struct RowInputs {
  const void* logits;
  request::Dtype dtype;
  int32_t vocab;
  float temperature;
  draw::RowParams params;

  const uint32_t* mask;  // nullptr: none; the same below
  const float* bias;
  ListSlice bias_list;
  ListSlice history;
  draw::Penalties penalties;

  uint64_t random;  // of purpose 0, or handed in
  uint64_t seed;
  uint32_t stream;
  uint64_t offset;

  bool edited() const { return mask != nullptr || bias != nullptr || has_lists(); }
  bool has_lists() const { return bias_list.size > 0 || history.size > 0; }
};

// A row's answer.
struct RowResult {
  int32_t token = -1;
  uint32_t status = 0;
  int64_t kept = 0;
  uint64_t kept_mass = 0;
  float logprob = 0;  // only where it was asked for
  bool has_token() const { return (status & (draw::kBadParameter | draw::kNoCandidate)) == 0; }
};

inline RowResult row_without_token(uint32_t status) {
  RowResult result;
  result.status = status;
  return result;
}

// Reads row `row` of the request's arrays. False: a parameter is bad (status BAD_PARAMETER), *inputs is unspecified.
bool read_row_inputs(const request::Request& request, int64_t row, RowInputs* inputs);

// The logit of an id as it is stored, as a float.
float stored_logit(const RowInputs& inputs, int32_t id);

// Writes a result to the request's outputs.
void write_row_result(const request::Request& request, int64_t row, const RowResult& result);

// The scale whose weights give a row's log-probabilities: a greedy row reports temperature 1.
float logprob_scale(const draw::RowParams& params);

// ln of the probability of a token with effective logit x, in a row whose largest is `max`, `total` being the row's
// summed weight at logprob_scale. x has a weight above 0 or is the largest.
float log_probability(const RowInputs& inputs, float x, float max, uint64_t total);

}  // namespace tokendraw::cpu
