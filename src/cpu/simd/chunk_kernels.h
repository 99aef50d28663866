// SPDX-License-Identifier: Apache-2.0
// The loops over logits, one table of functions per SIMD target. A row is seen as chunks of kChunk logits; the last may
// be shorter. Every function takes a whole row or any part of one that starts at a chunk.
#pragma once

#include <cstdint>

namespace tokendraw::cpu {

inline constexpr int32_t kChunk = 256;

// Lists that `gather` writes or takes ids from need room for this many elements more than they hold: whole vectors are
// stored and loaded.
inline constexpr int32_t kListPadding = 64;

inline constexpr int32_t chunks_of(int32_t n) { return (n + kChunk - 1) / kChunk; }

// The most keys that `sort_keys` takes.
inline constexpr int32_t kSortable = 256;

// How logits become weights: weight(x) = exp2_fixed((x - max) * scale). max is finite, scale is finite and >= 0.
struct WeightRule {
  float max;
  float scale;
};

// Functions for one dtype. Logits must not be +inf, except for `max` and `load`. NaN only where it is said so.
struct DtypeKernels {
  // The largest logit of each chunk. Returns false if there is a NaN: then some maxima are meaningless.
  bool (*max)(const void* x, int32_t n, float* chunk_max);

  // The summed weight of the logits > `above` of each chunk, and of all. A chunk whose chunk_max shows that it adds
  // nothing is not read. chunk_max and chunk_mass may be nullptr, here and below.
  uint64_t (*mass_above)(const void* x, int32_t n, WeightRule rule, float above, const float* chunk_max,
                         uint64_t* chunk_mass);

  // The number of logits > `above`.
  int32_t (*count_above)(const void* x, int32_t n, float above, const float* chunk_max);

  // Appends logits in [low, high] and their ids, in order, to out_x and out_id; returns their number. A chunk whose
  // chunk_max is below `low` is not read. ids may be nullptr: element i has id first_id + i.
  // In place (out_x == x, out_id == ids) is allowed. -0 becomes +0.
  int32_t (*gather)(const void* x, int32_t n, float low, float high, const float* chunk_max, const int32_t* ids,
                    int32_t first_id, float* out_x, int32_t* out_id);

  // Converts to float; NaN becomes -inf. Returns true if there was a NaN.
  bool (*load)(const void* x, int32_t n, float* out);
};

struct ChunkKernels {
  const char* target;        // Highway's name of the instruction set
  int32_t width;             // floats in a vector
  DtypeKernels by_dtype[3];  // indexed by request::Dtype

  // The weights of n floats, in order.
  void (*weights)(const float* x, int32_t n, WeightRule rule, uint64_t* out);

  // Writes n <= kSortable distinct keys to `sorted`, largest first, by counting for each the larger ones: for so few,
  // all pairs in vectors take less time than a sort's mispredicted branches. Both arrays have kSortable elements, and
  // `keys` beyond n is overwritten.
  void (*sort_keys)(uint64_t* keys, int32_t n, uint64_t* sorted);

  // Sets x[i] to -inf where bit (i % 32) of words[i / 32] is 0.
  void (*apply_mask)(float* x, int32_t n, const uint32_t* words);

  // Adds bias[i] to x[i] where that is not -inf.
  void (*apply_bias)(float* x, int32_t n, const float* bias);

  // The last step of an effective logit: NaN becomes -inf (returns true if there was one) and -0 becomes +0.
  bool (*finish)(float* x, int32_t n);
};

// The table of target `name`, or of the best target where name is nullptr; nullptr if this processor or this library
// does not have it. Thread-safe.
const ChunkKernels* find_chunk_kernels(const char* name);

// The tables of this processor, best first; nullptr past the last.
const ChunkKernels* chunk_kernels_at(int32_t index);

}  // namespace tokendraw::cpu
