// SPDX-License-Identifier: Apache-2.0
#include "cpu/row_inputs.h"

#include <cmath>
#include <limits>

namespace tokendraw::cpu {
namespace {

using request::RandomSource;
using request::Request;
using request::RowLists;
using request::StreamSource;

// The bounds of row `row` in a list; false if they do not ascend within the list.
bool slice(const RowLists& lists, int64_t row, int64_t* begin, int64_t* end) {
  *begin = *end = 0;
  if (lists.offsets == nullptr) return true;
  *begin = lists.offsets[row];
  *end = lists.offsets[row + 1];
  return 0 <= *begin && *begin <= *end && *end <= lists.entries;
}

bool read_lists(const Request& request, int64_t row, RowInputs* inputs) {
  int64_t begin = 0;
  int64_t end = 0;
  if (!slice(request.bias_list, row, &begin, &end)) return false;
  inputs->bias_list = {};
  if (end > begin) {
    inputs->bias_list.ids = request.bias_list.ids + begin;
    inputs->bias_list.values = request.bias_values + begin;
    inputs->bias_list.size = end - begin;
  }
  if (!slice(request.history, row, &begin, &end)) return false;
  inputs->history = {};
  if (end > begin) {
    inputs->history.ids = request.history.ids + begin;
    inputs->history.counts = request.history_counts != nullptr ? request.history_counts + begin : nullptr;
    inputs->history.size = end - begin;
  }
  inputs->penalties = {1.0f, 0.0f, 0.0f};
  if (request.history.offsets == nullptr) return true;
  inputs->penalties = {request.repetition_penalty.at(row), request.frequency_penalty.at(row),
                       request.presence_penalty.at(row)};
  return draw::penalties_valid(inputs->penalties);
}

bool read_random(const Request& request, int64_t row, RowInputs* inputs) {
  inputs->seed = request.seed.at(row);
  inputs->stream = request.stream_source == StreamSource::kRow ? static_cast<uint32_t>(row) : request.stream.at(row);
  inputs->offset = request.offset.at(row);
  switch (request.random_source) {
    case RandomSource::kU64:
      inputs->random = request.random_u64[row];
      return true;
    case RandomSource::kF32:
      if (!draw::is_unit_float(request.random_f32[row])) return false;
      inputs->random = draw::random_from_unit_float(request.random_f32[row]);
      return true;
    case RandomSource::kSeed:
      break;
  }
  inputs->random = draw::random_bits(inputs->seed, inputs->stream, inputs->offset, draw::kPurposeDraw);
  return true;
}

}  // namespace

bool read_row_inputs(const Request& request, int64_t row, RowInputs* inputs) {
  const int64_t source = request.row_index != nullptr ? request.row_index[row] : row;
  if (source < 0 || source >= request.logits_rows) return false;
  const draw::RawRowParams raw = {request.temperature.at(row), request.top_k.at(row), request.top_p.at(row),
                                  request.min_p.at(row)};
  if (!draw::row_params_valid(raw)) return false;
  inputs->logits = static_cast<const unsigned char*>(request.logits) +
                   source * request.row_stride * request::dtype_bytes(request.dtype);
  inputs->dtype = request.dtype;
  inputs->vocab = request.vocab;
  inputs->temperature = raw.temperature;
  inputs->params = draw::make_row_params(raw, request.top_p_base, request.vocab);
  inputs->mask = request.mask != nullptr ? request.mask + row * request.mask_row_stride : nullptr;
  inputs->bias = request.bias != nullptr ? request.bias + row * request.bias_row_stride : nullptr;
  return read_lists(request, row, inputs) && read_random(request, row, inputs);
}

float stored_logit(const RowInputs& inputs, int32_t id) {
  switch (inputs.dtype) {
    case request::Dtype::kF32:
      return static_cast<const float*>(inputs.logits)[id];
    case request::Dtype::kF16:
      return draw::f16_to_float(static_cast<const uint16_t*>(inputs.logits)[id]);
    case request::Dtype::kBf16:
      break;
  }
  return draw::bf16_to_float(static_cast<const uint16_t*>(inputs.logits)[id]);
}

void write_row_result(const Request& request, int64_t row, const RowResult& result) {
  request.tokens[row] = result.has_token() ? result.token : request.invalid_token;
  if (request.row_status != nullptr) request.row_status[row] = result.status;
  if (request.kept != nullptr) request.kept[row] = result.kept;
  if (request.kept_mass != nullptr) request.kept_mass[row] = result.kept_mass;
  if (request.logprob != nullptr) {
    request.logprob[row] = result.has_token() ? result.logprob : std::numeric_limits<float>::quiet_NaN();
  }
}

float logprob_scale(const draw::RowParams& params) { return params.greedy ? draw::kLog2E : params.scale; }

float log_probability(const RowInputs& inputs, float x, float max, uint64_t total) {
  const double log_total = std::log(static_cast<double>(total) / static_cast<double>(draw::kWeightOne));
  if (max == draw::infinity()) return static_cast<float>(-log_total);
  const double t = inputs.params.greedy ? 1.0 : static_cast<double>(inputs.temperature);
  return static_cast<float>((static_cast<double>(x) - static_cast<double>(max)) / t - log_total);
}

}  // namespace tokendraw::cpu
