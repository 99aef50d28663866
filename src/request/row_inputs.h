// SPDX-License-Identifier: Apache-2.0
// One output row of a request with its parameters resolved, and a row's answer: what every engine starts from and ends
// with, on a host or a device.
#pragma once

#include <cstdint>

#include "draw/double_math.h"
#include "request/request.h"

namespace tokendraw::request {

// The entries of one row in a bias or history list.
struct ListSlice {
  const int32_t* ids;
  const float* values;    // of a bias
  const int32_t* counts;  // of a history; nullptr: 1 each
  int64_t size;
  int64_t begin;  // of the first entry in the request's arrays
};

struct RowInputs {
  const void* logits;
  Dtype dtype;
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

  TOKENDRAW_HD bool has_lists() const { return bias_list.size > 0 || history.size > 0; }
  TOKENDRAW_HD bool edited() const { return mask != nullptr || bias != nullptr || has_lists(); }
};

// A row's answer.
struct RowResult {
  int32_t token = -1;
  uint32_t status = 0;
  int64_t kept = 0;
  uint64_t kept_mass = 0;
  float logprob = 0;   // only where it was asked for
  int32_t rounds = 0;  // of algorithm rejection
  TOKENDRAW_HD bool has_token() const { return (status & (draw::kBadParameter | draw::kNoCandidate)) == 0; }
};

TOKENDRAW_HD RowResult row_without_token(uint32_t status) {
  RowResult result;
  result.status = status;
  return result;
}

// Where output row `row` reads its logits; nullptr if row_index points nowhere.
TOKENDRAW_HD const void* logits_of_row(const Request& request, int64_t row) {
  const int64_t source = request.row_index != nullptr ? request.row_index[row] : row;
  if (source < 0 || source >= request.logits_rows) return nullptr;
  return static_cast<const unsigned char*>(request.logits) + source * request.row_stride * dtype_bytes(request.dtype);
}

// Row `row` of a list; false if its bounds do not ascend within the list.
TOKENDRAW_HD bool slice_of_row(const RowLists& lists, int64_t row, ListSlice* slice) {
  *slice = {nullptr, nullptr, nullptr, 0, 0};
  if (lists.offsets == nullptr) return true;
  const int64_t begin = lists.offsets[row];
  const int64_t end = lists.offsets[row + 1];
  if (!(0 <= begin && begin <= end && end <= lists.entries)) return false;
  if (begin == end) return true;
  slice->ids = lists.ids + begin;
  slice->size = end - begin;
  slice->begin = begin;
  return true;
}

TOKENDRAW_HD bool read_lists(const Request& request, int64_t row, RowInputs* inputs) {
  if (!slice_of_row(request.bias_list, row, &inputs->bias_list)) return false;
  if (inputs->bias_list.size > 0) inputs->bias_list.values = request.bias_values + inputs->bias_list.begin;
  if (!slice_of_row(request.history, row, &inputs->history)) return false;
  if (inputs->history.size > 0 && request.history_counts != nullptr) {
    inputs->history.counts = request.history_counts + inputs->history.begin;
  }
  inputs->penalties = {1.0f, 0.0f, 0.0f};
  if (request.history.offsets == nullptr) return true;
  inputs->penalties = {request.repetition_penalty.at(row), request.frequency_penalty.at(row),
                       request.presence_penalty.at(row)};
  return draw::penalties_valid(inputs->penalties);
}

// What a row's random number is made of, as it is given.
struct RawRowRandom {
  uint64_t seed;
  uint32_t stream;
  uint64_t offset;
  uint64_t random;  // handed in; of an f32 its bits
};

TOKENDRAW_HD RawRowRandom raw_row_random(const Request& request, int64_t row) {
  RawRowRandom raw;
  raw.seed = request.seed.at(row);
  raw.stream = request.stream_source == StreamSource::kRow ? static_cast<uint32_t>(row) : request.stream.at(row);
  raw.offset = request.offset.at(row);
  raw.random = request.random_source == RandomSource::kU64   ? request.random_u64[row]
               : request.random_source == RandomSource::kF32 ? draw::float_bits(request.random_f32[row])
                                                             : 0;
  return raw;
}

TOKENDRAW_HD bool use_row_random(const Request& request, const RawRowRandom& raw, RowInputs* inputs) {
  inputs->seed = raw.seed;
  inputs->stream = raw.stream;
  inputs->offset = raw.offset;
  switch (request.random_source) {
    case RandomSource::kU64:
      inputs->random = raw.random;
      return true;
    case RandomSource::kF32: {
      const float unit = draw::bits_float(static_cast<uint32_t>(raw.random));
      if (!draw::is_unit_float(unit)) return false;
      inputs->random = draw::random_from_unit_float(unit);
      return true;
    }
    case RandomSource::kSeed:
      break;
  }
  inputs->random = draw::random_bits(raw.seed, raw.stream, raw.offset, draw::kPurposeDraw);
  return true;
}

TOKENDRAW_HD draw::RawRowParams raw_row_params(const Request& request, int64_t row) {
  return {request.temperature.at(row), request.top_k.at(row), request.top_p.at(row), request.min_p.at(row)};
}

// All but the random number.
TOKENDRAW_HD bool use_row_params(const Request& request, int64_t row, const draw::RawRowParams& raw,
                                 RowInputs* inputs) {
  inputs->logits = logits_of_row(request, row);
  if (inputs->logits == nullptr) return false;
  if (!draw::row_params_valid(raw)) return false;
  inputs->dtype = request.dtype;
  inputs->vocab = request.vocab;
  inputs->temperature = raw.temperature;
  inputs->params = draw::make_row_params(raw, request.top_p_base, request.vocab);
  inputs->mask = request.mask != nullptr ? request.mask + row * request.mask_row_stride : nullptr;
  inputs->bias = request.bias != nullptr ? request.bias + row * request.bias_row_stride : nullptr;
  return read_lists(request, row, inputs);
}

// Reads row `row` of the request's arrays. False: a parameter is bad (status BAD_PARAMETER), *inputs is unspecified.
TOKENDRAW_HD bool read_row_inputs(const Request& request, int64_t row, RowInputs* inputs) {
  return use_row_params(request, row, raw_row_params(request, row), inputs) &&
         use_row_random(request, raw_row_random(request, row), inputs);
}

// Writes a result to the request's outputs.
TOKENDRAW_HD void write_row_result(const Request& request, int64_t row, const RowResult& result) {
  request.tokens[row] = result.has_token() ? result.token : request.invalid_token;
  if (request.row_status != nullptr) request.row_status[row] = result.status;
  if (request.kept != nullptr) request.kept[row] = result.kept;
  if (request.kept_mass != nullptr) request.kept_mass[row] = result.kept_mass;
  if (request.rounds != nullptr) request.rounds[row] = result.rounds;
  if (request.logprob != nullptr) {
    request.logprob[row] = result.has_token() ? result.logprob : draw::bits_float(0x7fc00000u);
  }
}

// The scale whose weights give a row's log-probabilities: a greedy row reports temperature 1.
TOKENDRAW_HD float logprob_scale(const draw::RowParams& params) { return params.greedy ? draw::kLog2E : params.scale; }

// ln of the probability of a token with effective logit x, in a row whose largest is `max`, `total` being the row's
// summed weight at logprob_scale. x has a weight above 0 or is the largest.
TOKENDRAW_HD float log_probability(const RowInputs& inputs, float x, float max, uint64_t total) {
  const double log_total = draw::log_of_mass(total);
  if (max == draw::infinity()) return static_cast<float>(-log_total);
  const double t = inputs.params.greedy ? 1.0 : static_cast<double>(inputs.temperature);
  return static_cast<float>((static_cast<double>(x) - static_cast<double>(max)) / t - log_total);
}

}  // namespace tokendraw::request
