// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: from one struct a request to the columns of a batch.
#ifndef TOKENDRAW_CPP_REQUESTS_HPP_
#define TOKENDRAW_CPP_REQUESTS_HPP_

#include <tokendraw/cpp/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tokendraw {

// One request's parameters; the values here switch everything off. Give each request a seed of its own: two requests
// with equal seed, stream and offset use the same random number.
struct SamplingParams {
  float temperature = 1.0f;         // >= 0; 0: greedy
  int32_t top_k = 0;                // <= 0: off
  float top_p = 1.0f;               // >= 1: off
  float min_p = 0.0f;               // <= 0: off
  uint64_t seed = 0;                // belongs to the request
  uint64_t offset = 0;              // tokens this request has drawn before
  uint32_t stream = 0;              // tells apart several samples of one request
  float repetition_penalty = 1.0f;  // the three penalties concern the ids in the history, and nothing without one
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  std::span<const int32_t> history_ids = {};     // each id once
  std::span<const int32_t> history_counts = {};  // times generated, 0: in the prompt only; empty: 1 each
  std::span<const int32_t> bias_ids = {};        // each id once
  std::span<const float> bias_values = {};       // as many
  std::span<const uint32_t> mask = {};           // ceil(vocab / 32) words, 1: allowed; empty: every token
};

// Turns requests into the columns of a Batch and owns them. Keep one and assign again at every step: its memory is used
// again, so that after the largest batch nothing is allocated any more.
class RequestColumns {
 public:
  // Copies all that `requests` say, lists and masks included. Allocates. After a failure the columns are empty.
  // Errors: INVALID_HISTORY, INVALID_BIAS_LIST (lists of unequal length), INVALID_MASK (masks of unequal length),
  // OUT_OF_MEMORY.
  Result<void> try_assign(std::span<const SamplingParams> requests) noexcept;

  void clear() noexcept;
  size_t rows() const noexcept { return temperature_.size(); }

  // A batch of these columns, good until the next assignment; the caller adds logits and outputs.
  Batch batch() const noexcept;

#if TOKENDRAW_CPP_EXCEPTIONS
  void assign(std::span<const SamplingParams> requests) { try_assign(requests).value(); }
#endif

 private:
  Result<void> append(const SamplingParams& request);

  std::vector<float> temperature_, top_p_, min_p_, repetition_, frequency_, presence_;
  std::vector<int32_t> top_k_;
  std::vector<uint64_t> seed_, offset_;
  std::vector<uint32_t> stream_;
  std::vector<int32_t> history_ids_, history_counts_, bias_ids_;
  std::vector<float> bias_values_;
  std::vector<int64_t> history_offsets_, bias_offsets_;
  std::vector<uint32_t> mask_;
  size_t mask_words_ = 0;  // of one row; 0: no request has a mask
};

inline void RequestColumns::clear() noexcept {
  for (auto* column : {&temperature_, &top_p_, &min_p_, &repetition_, &frequency_, &presence_, &bias_values_})
    column->clear();
  for (auto* column : {&top_k_, &history_ids_, &history_counts_, &bias_ids_}) column->clear();
  for (auto* column : {&seed_, &offset_}) column->clear();
  for (auto* column : {&history_offsets_, &bias_offsets_}) column->clear();
  for (auto* column : {&stream_, &mask_}) column->clear();
  mask_words_ = 0;
}

inline Result<void> RequestColumns::try_assign(std::span<const SamplingParams> requests) noexcept {
  Result<void> assigned = detail::without_exceptions<void>([&]() -> Result<void> {
    clear();
    history_offsets_.push_back(0);
    bias_offsets_.push_back(0);
    for (const SamplingParams& request : requests) {
      if (!request.mask.empty()) mask_words_ = request.mask.size();
    }
    for (const SamplingParams& request : requests) {
      if (Result<void> appended = append(request); !appended) return appended;
    }
    return {};
  });
  if (!assigned) clear();
  return assigned;
}

inline Result<void> RequestColumns::append(const SamplingParams& request) {
  const size_t history = request.history_ids.size();
  if (!request.history_counts.empty() && request.history_counts.size() != history)
    return detail::wrong_count(TOKENDRAW_INVALID_HISTORY, "history_counts", request.history_counts.size(),
                               static_cast<int64_t>(history));
  if (request.bias_values.size() != request.bias_ids.size())
    return detail::wrong_count(TOKENDRAW_INVALID_BIAS_LIST, "bias_values", request.bias_values.size(),
                               static_cast<int64_t>(request.bias_ids.size()));
  if (!request.mask.empty() && request.mask.size() != mask_words_)
    return detail::wrong_count(TOKENDRAW_INVALID_MASK, "mask", request.mask.size(), static_cast<int64_t>(mask_words_));

  temperature_.push_back(request.temperature);
  top_k_.push_back(request.top_k);
  top_p_.push_back(request.top_p);
  min_p_.push_back(request.min_p);
  seed_.push_back(request.seed);
  offset_.push_back(request.offset);
  stream_.push_back(request.stream);
  // Without a history they have no effect, whether or not a neighbour has one.
  repetition_.push_back(history != 0 ? request.repetition_penalty : 1.0f);
  frequency_.push_back(history != 0 ? request.frequency_penalty : 0.0f);
  presence_.push_back(history != 0 ? request.presence_penalty : 0.0f);

  history_ids_.insert(history_ids_.end(), request.history_ids.begin(), request.history_ids.end());
  history_counts_.insert(history_counts_.end(), request.history_counts.begin(), request.history_counts.end());
  history_counts_.resize(history_ids_.size(), 1);
  history_offsets_.push_back(static_cast<int64_t>(history_ids_.size()));
  bias_ids_.insert(bias_ids_.end(), request.bias_ids.begin(), request.bias_ids.end());
  bias_values_.insert(bias_values_.end(), request.bias_values.begin(), request.bias_values.end());
  bias_offsets_.push_back(static_cast<int64_t>(bias_ids_.size()));
  mask_.insert(mask_.end(), request.mask.begin(), request.mask.end());
  mask_.resize(temperature_.size() * mask_words_, ~uint32_t{0});
  return {};
}

inline Batch RequestColumns::batch() const noexcept {
  Batch batch;
  batch.temperature = temperature_;
  batch.top_k = top_k_;
  batch.top_p = top_p_;
  batch.min_p = min_p_;
  batch.seed = seed_;
  batch.offset = offset_;
  batch.stream = PerRow<uint32_t>(stream_);
  if (!bias_ids_.empty()) batch.bias_lists = {bias_ids_, bias_values_, bias_offsets_};
  if (!history_ids_.empty()) {
    batch.histories = {history_ids_, history_counts_, history_offsets_};
    batch.repetition_penalty = repetition_;
    batch.frequency_penalty = frequency_;
    batch.presence_penalty = presence_;
  }
  if (mask_words_ != 0) {
    batch.mask = mask_;
    batch.mask_row_stride = static_cast<int64_t>(mask_words_);
  }
  return batch;
}

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_REQUESTS_HPP_
