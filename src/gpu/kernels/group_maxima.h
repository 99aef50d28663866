// SPDX-License-Identifier: Apache-2.0
// The first pass over a row: the largest logit of each group, and what else a caller wants of its logits.
#pragma once

#include <type_traits>

#include "gpu/kernels/lane_max.h"
#include "gpu/kernels/row_passes.h"

namespace tokendraw::gpu {

// The maxima of a warp's groups of [first, last), but for NaN: the warp that found one reads its groups again.
template <typename Row>
TOKENDRAW_DEVICE_CALL void leave_out_nan(int32_t first, int32_t last, float* group_max) {
  constexpr int kWave = Row::kWave;
  const typename Row::Reader reader = Row::shared().reader;
  float largest = -draw::infinity();
  visit_lines<Row, Row::kMaximaBatch>(
      reader, first, last,
      [&](int32_t line, const platform::Words16& words) {
        float x[Row::Reader::kWidth];
        bool nan = false;
        reader.convert(words, line, x, nan);
#pragma unroll
        for (int i = 0; i < Row::Reader::kWidth; ++i) largest = platform::max_number(largest, x[i]);
      },
      [&](int32_t group) {
        const float group_largest = draw::add_rn(warp_max<kWave>(largest), 0.0f);
        if (lane_index<kWave>() == 0) group_max[group] = group_largest;
        largest = -draw::infinity();
      });
}

// Of one lane: the largest logit of a group, line by line.
template <typename Row>
struct GroupMax {
  static constexpr bool kByBits = platform::kHasMaxOrNan<Row::kWave> && !Row::Reader::kIsEdited;
  static constexpr int kWidth = Row::Reader::kWidth;
  using Largest = std::conditional_t<kByBits, LaneMax<Row::Reader::kStored>, float>;

  Largest largest;

  TOKENDRAW_DEVICE void clear() {
    if constexpr (kByBits) {
      largest = {};
    } else {
      largest = -draw::infinity();
    }
  }
  // Returns the largest of the line, which where that goes by bits is NaN if one of them is.
  TOKENDRAW_DEVICE float take(const platform::Words16& words, const float (&x)[kWidth]) {
    if constexpr (kByBits) {
      const Largest of_line = Largest::of(words);
      largest.take(of_line);
      return of_line.value();
    } else {
      float of_line = x[0];
#pragma unroll
      for (int i = 1; i < kWidth; ++i) of_line = platform::max_number(of_line, x[i]);
      largest = platform::max_number(largest, of_line);
      return of_line;
    }
  }
  TOKENDRAW_DEVICE float of_lane() const {
    if constexpr (kByBits) {
      return draw::add_rn(largest.value(), 0.0f);
    } else {
      return draw::add_rn(largest, 0.0f);
    }
  }
  TOKENDRAW_DEVICE float of_warp() const {
    if constexpr (kByBits) {
      return draw::from_ordered_bits(platform::warp_largest<Row::kWave>(draw::ordered_bits(of_lane())));
    } else {
      return warp_max<Row::kWave>(of_lane());
    }
  }
};

// The first look at the groups [first, last): the largest logit of each into group_max. Calls visit(line, x, largest,
// of_group) for this lane's logits of a line, `largest` being the largest of them and of_group the GroupMax so far, and
// done(group, largest) after each group. The result is whether one of this thread's logits is NaN, or of its warp's. No
// barrier.
template <typename Row, typename Visit, typename Done>
TOKENDRAW_DEVICE bool read_first_time(int32_t first, int32_t last, float* group_max, const Visit& visit,
                                      const Done& done) {
  constexpr int kWave = Row::kWave;
  const typename Row::Reader reader = Row::shared().reader;
  bool nan = false;
  GroupMax<Row> max;
  max.clear();
  visit_lines<Row, Row::kMaximaBatch>(
      reader, first, last,
      [&](int32_t line, const platform::Words16& words) {
        float x[Row::Reader::kWidth];
        bool of_line = false;
        reader.convert(words, line, x, of_line);
        if constexpr (!GroupMax<Row>::kByBits) nan |= of_line;
        const float largest = max.take(words, x);
        visit(line, x, largest, max);
      },
      [&](int32_t group) {
        const float largest = max.of_warp();
        if (lane_index<kWave>() == 0) group_max[group] = largest;
        nan |= draw::is_nan(largest);
        max.clear();
        done(group, largest);
      });
  if constexpr (GroupMax<Row>::kByBits) {
    if (nan) {
      platform::warp_barrier<kWave>();
      leave_out_nan<Row>(first, last, group_max);
    }
  }
  return nan;
}

// Finds nothing but the maxima.
template <typename Row>
TOKENDRAW_DEVICE bool read_maxima(int32_t first, int32_t last, float* group_max) {
  return read_first_time<Row>(
      first, last, group_max, [](int32_t, const float(&)[Row::Reader::kWidth], float, const GroupMax<Row>&) {},
      [](int32_t, float) {});
}

}  // namespace tokendraw::gpu
