// SPDX-License-Identifier: Apache-2.0
// The one read of a row in a cluster: its logits on their way into shared memory, and the group maxima as they arrive.
#pragma once

#include "gpu/kernels/lane_max.h"
#include "gpu/kernels/resident_row.h"

namespace tokendraw::gpu {

// A range of a block's groups, of one warp.
struct GroupRange {
  int32_t first;
  int32_t last;
};

template <typename Row>
TOKENDRAW_DEVICE GroupRange groups_of_warp(int32_t warp_groups, int32_t groups, uint32_t warp) {
  const int32_t first = warp_groups * static_cast<int32_t>(warp);
  const int32_t last = first + warp_groups;
  return {first < groups ? first : groups, last < groups ? last : groups};
}
template <typename Row>
TOKENDRAW_DEVICE GroupRange groups_of_warp(int32_t warp_groups) {
  return groups_of_warp<Row>(warp_groups, Row::groups(), warp_index<Row::kWave>());
}

// The largest of this lane's logits in some lines but NaN.
template <typename Row>
TOKENDRAW_DEVICE_CALL float lane_max_but_nan(int32_t first_line, int32_t last_line) {
  float largest = -draw::infinity();
  for (int32_t line = first_line; line < last_line; ++line) {
    const platform::Words16 words =
        resident_words()[line * Row::kWave + static_cast<int32_t>(lane_index<Row::kWave>())];
    for (int i = 0; i < Row::Reader::kWidth; ++i) {
      largest = platform::max_number(largest, Stored<Row::kStored>::to_float(words, i));
    }
  }
  return largest;
}

// The maxima of a warp's groups, into shared memory. The result is whether one of the warp's logits is NaN.
template <typename Row>
TOKENDRAW_DEVICE bool resident_maxima(GroupRange range, int32_t group_lines, int32_t lines) {
  constexpr int kAtOnce = 8 / Row::kMaximaOfGroup;  // as many chains of dependent steps side by side
  const auto lane = static_cast<int32_t>(lane_index<Row::kWave>());
  const int32_t end = range.last * group_lines < lines ? range.last * group_lines : lines;
  bool nan = false;
  for (int32_t group = range.first; group < range.last; group += kAtOnce) {
    LaneMax<Row::kStored> max[kAtOnce];
    for (int32_t i = 0; i < group_lines; ++i) {
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        // Past the range its last line is looked at again: the lines of other warps may not be there yet.
        const int32_t line = (group + j) * group_lines + i;
        max[j].take(resident_words()[(line < end ? line : end - 1) * Row::kWave + lane]);
      }
    }
    // Lane j has what group + j has. Nothing hangs on a branch, so that the sums over lanes overlap.
    uint32_t bits[Row::kMaximaOfGroup] = {};
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
#pragma unroll
      for (int m = 0; m < Row::kMaximaOfGroup; ++m) {
        const float of_lane = draw::add_rn(max[j].value(m), 0.0f);
        const uint32_t largest = platform::warp_largest<Row::kWave>(draw::ordered_bits(of_lane));
        bits[m] = lane == j ? largest : bits[m];
      }
    }
    const bool exists = lane < kAtOnce && group + lane < range.last;
    uint32_t of_group = bits[0];
#pragma unroll
    for (int m = 1; m < Row::kMaximaOfGroup; ++m) of_group = bits[m] > of_group ? bits[m] : of_group;
    // NaN comes out positive.
    uint64_t with_nan = platform::warp_ballot<Row::kWave>(exists && of_group > draw::ordered_bits(draw::infinity()));
    nan |= with_nan != 0;
    for (; with_nan != 0; with_nan &= with_nan - 1) {
      const int32_t j = platform::first_bit(with_nan);
      const int32_t first = (group + j) * group_lines;
      const float largest = lane_max_but_nan<Row>(first, first + group_lines < lines ? first + group_lines : lines);
      const uint32_t of_others = platform::warp_largest<Row::kWave>(draw::ordered_bits(draw::add_rn(largest, 0.0f)));
      if (lane != j) continue;
      of_group = of_others;
#pragma unroll
      for (int m = 0; m < Row::kMaximaOfGroup; ++m)
        bits[m] = m == 0 ? of_others : draw::ordered_bits(-draw::infinity());
    }
    if (!exists) continue;
    auto& s = Row::shared();
#pragma unroll
    for (int m = 0; m < Row::kMaximaOfGroup; ++m) {
      s.told[(group + lane) * Row::kMaximaOfGroup + m] = draw::from_ordered_bits(bits[m]);
    }
    s.group_max[group + lane] = draw::from_ordered_bits(of_group);
  }
  return nan;
}

// The lines of a block of the cluster, in those of the row's source.
struct LineRange {
  int32_t first;
  int32_t last;
};

template <typename Row>
TOKENDRAW_DEVICE LineRange lines_of_block(const typename Row::Source& source, int32_t block_lines) {
  const int32_t lines = source.lines();
  const int32_t first = static_cast<int32_t>(platform::cluster_rank()) * block_lines;
  const int32_t last = first + block_lines;
  return {first < lines ? first : lines, last < lines ? last : lines};
}

// Of a block's lines [first, last) those that can be copied, in the source's numbers; those at the row's ends, which
// are not all inside, cannot.
template <typename Row>
TOKENDRAW_DEVICE LineRange copied_lines(const typename Row::Source& source, LineRange block, int32_t first,
                                        int32_t last) {
  const int32_t begin = block.first + first > source.first_inside() ? block.first + first : source.first_inside();
  const int32_t end = block.first + last < source.end_inside() ? block.first + last : source.end_inside();
  return {begin, end > begin ? end : begin};
}

// Begins the copy of a warp's lines, by one thread.
template <typename Row>
TOKENDRAW_DEVICE void begin_lines(const typename Row::Source& source, LineRange block, int32_t first, int32_t last,
                                  uint32_t warp) {
  const LineRange copied = copied_lines<Row>(source, block, first, last);
  const int32_t lines = copied.last - copied.first;
  platform::begin_copy(
      &Row::shared().copied[warp], resident_words() + (lines > 0 ? copied.first - block.first : 0) * Row::kWave,
      source.address(lines > 0 ? copied.first : source.first_inside()), static_cast<uint32_t>(lines) * Row::kWave * 16);
}

// Loads those of a warp's lines that are not copied.
template <typename Row>
TOKENDRAW_DEVICE void load_other_lines(const typename Row::Source& source, LineRange block, int32_t first,
                                       int32_t last) {
  const LineRange copied = copied_lines<Row>(source, block, first, last);
  if (copied.last - copied.first == last - first) return;
  for (int32_t line = block.first + first; line < block.first + last; ++line) {
    if (line >= copied.first && line < copied.last) continue;
    const int32_t place = (line - block.first) * Row::kWave + static_cast<int32_t>(lane_index<Row::kWave>());
    resident_words()[place] = source.fetch(line);
  }
}

// Both, of a warp's own lines.
template <typename Row>
TOKENDRAW_DEVICE void begin_own_lines(const typename Row::Source& source, LineRange block, LineRange own) {
  constexpr int kWave = Row::kWave;
  if (lane_index<kWave>() == 0) {
    platform::prepare_copy(&Row::shared().copied[warp_index<kWave>()]);
    begin_lines<Row>(source, block, own.first, own.last, warp_index<kWave>());
  }
  load_other_lines<Row>(source, block, own.first, own.last);
}

// Loads a warp's part of an edited row, as floats. The result is whether one of this thread's logits is NaN.
template <typename Row>
TOKENDRAW_DEVICE bool load_edited(const typename Row::Source& source, LineRange block) {
  constexpr int kWidth = Row::Source::kWidth;
  bool nan = false;
  const auto lane = static_cast<int32_t>(lane_index<Row::kWave>());
  for (int32_t line = block.first + static_cast<int32_t>(warp_index<Row::kWave>()); line < block.last;
       line += Row::kWarps) {
    float x[kWidth];
    source.convert(source.fetch(line), line, x, nan);
    platform::Words16* to = resident_words() + ((line - block.first) * Row::kWave + lane) * (kWidth / 4);
#pragma unroll
    for (int i = 0; i < kWidth / 4; ++i) {
      to[i] = {{draw::float_bits(x[4 * i]), draw::float_bits(x[4 * i + 1]), draw::float_bits(x[4 * i + 2]),
                draw::float_bits(x[4 * i + 3])}};
    }
  }
  return nan;
}

}  // namespace tokendraw::gpu
