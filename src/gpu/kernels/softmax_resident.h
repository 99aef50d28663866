// SPDX-License-Identifier: Apache-2.0
// Softmax of rows that the blocks of a cluster hold in shared memory, so that memory is read once: each block copies
// its part of the row, the blocks tell each other its largest logit and then its mass, and each writes its part. One
// cluster a row.
#pragma once

#include "gpu/kernels/lane_max.h"
#include "gpu/kernels/mass_sum.h"
#include "gpu/kernels/resident_maxima.h"
#include "gpu/kernels/softmax_rows.h"
#include "gpu/kernels/write_part.h"

namespace tokendraw::gpu {

// A block's part of the row, as resident_maxima.h's functions know it.
template <request::Dtype kDtype, int kWaveWidth>
struct SoftmaxPart {
  static constexpr int kWave = kWaveWidth;
  static constexpr int kThreads = plan::kGpuClusterThreads;
  static constexpr int kWarps = kThreads / kWave;
  using Source = RowReader<kDtype, false, kWave>;

  struct Shared {
    platform::CopyBarrier copied[kWarps];
    uint64_t of_warp[kWarps];
    // What each block tells the others
    uint64_t max[kMaxClusterBlocks];   // its largest logit as ordered bits, and kSawNan
    uint64_t mass[kMaxClusterBlocks];  // or, of a greedy row, the first id of the largest logit
  };
  static constexpr uint64_t kSawNan = uint64_t{1} << 32;

  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, softmax_part_shared);
    return softmax_part_shared;
  }

  // The lines of this block in shared memory that this warp copies and looks at.
  TOKENDRAW_DEVICE static LineRange lines_of_warp(LineRange block) {
    const int32_t lines = block.last - block.first;
    const int32_t each = (lines + kWarps - 1) / kWarps;
    const int32_t first = each * static_cast<int32_t>(warp_index<kWave>());
    const int32_t last = first + each;
    return {first < lines ? first : lines, last < lines ? last : lines};
  }

  // This lane's words of the lines [first, last), one call of visit(line, words) for each.
  template <typename Visit>
  TOKENDRAW_DEVICE static void visit(LineRange range, const Visit& visit) {
    const platform::Words16* words = resident_words() + lane_index<kWave>();
#pragma unroll 2
    for (int32_t line = range.first; line < range.last; ++line) visit(line, words[line * kWave]);
  }
};

// This lane's largest logit as ordered bits, -0 as 0, and whether one is NaN.
template <request::Dtype kDtype, int kWave>
TOKENDRAW_DEVICE uint64_t largest_of_lane(LineRange range) {
  using Part = SoftmaxPart<kDtype, kWave>;
  constexpr int kWidth = Part::Source::kWidth;
  if constexpr (platform::kHasMaxOrNan<kWave>) {
    LaneMax<kDtype> max;
    Part::visit(range, [&](int32_t, const platform::Words16& words) { max.take(words); });
    const float largest = max.value();
    if (!draw::is_nan(largest)) return draw::ordered_bits(draw::add_rn(largest, 0.0f));
  }
  bool nan = false;
  float largest = -draw::infinity();
  Part::visit(range, [&](int32_t, const platform::Words16& words) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float x = Stored<kDtype>::to_float(words, i);
      nan |= draw::is_nan(x);
      largest = platform::max_number(largest, x);
    }
  });
  return draw::ordered_bits(draw::add_rn(largest, 0.0f)) | (nan ? Part::kSawNan : 0);
}

// Tells all blocks of the cluster what this warp's block makes of its warps' values; ends with a cluster barrier.
// combine(a, b) of any two.
template <typename Part, typename Combine>
TOKENDRAW_DEVICE uint64_t tell_and_combine(uint64_t of_warp, uint64_t (&told)[kMaxClusterBlocks], bool first,
                                           const Combine& combine) {
  typename Part::Shared& s = Part::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t blocks = platform::cluster_blocks();
  if (lane_index<Part::kWave>() == 0) s.of_warp[warp_index<Part::kWave>()] = of_warp;
  platform::block_barrier();
  if (first) platform::cluster_wait();  // all blocks have begun
  if (thread < blocks) {
    uint64_t of_block = s.of_warp[0];
#pragma unroll
    for (int w = 1; w < Part::kWarps; ++w) of_block = combine(of_block, s.of_warp[w]);
    *platform::cluster_map(&told[platform::cluster_rank()], thread) = of_block;
  }
  platform::cluster_barrier();
  uint64_t all = told[0];
  for (uint32_t rank = 1; rank < blocks; ++rank) all = combine(all, told[rank]);
  return all;
}

// A weight's share of the mass, in double operations as SoftmaxRow::probability has it.
template <int kWave>
TOKENDRAW_DEVICE double share_of(float y, double inverse_total) {
  return draw::mul_rn(ThreadMass<kWave>::weight_as_double(y), inverse_total);
}

// The first place of the largest logit; ~0 where this warp has none.
template <request::Dtype kDtype, int kWave>
TOKENDRAW_DEVICE uint64_t first_best(const typename SoftmaxPart<kDtype, kWave>::Source& source, LineRange block,
                                     LineRange own, float max) {
  using Part = SoftmaxPart<kDtype, kWave>;
  uint32_t first = ~uint32_t{0};
  Part::visit(own, [&](int32_t line, const platform::Words16& words) {
    const auto id = static_cast<uint32_t>(source.first_id(block.first + line));
#pragma unroll
    for (int i = Part::Source::kWidth - 1; i >= 0; --i) {
      if (Stored<kDtype>::to_float(words, i) == max && id + static_cast<uint32_t>(i) < first) {
        first = id + static_cast<uint32_t>(i);
      }
    }
  });
  return ~platform::warp_largest<kWave>(~first);
}

template <request::Dtype kDtype, request::Dtype kOut, int kWave>
TOKENDRAW_DEVICE void softmax_on_chip(const request::Operation& operation, const ResidentShape& shape) {
  using Part = SoftmaxPart<kDtype, kWave>;
  using Source = typename Part::Source;
  constexpr int kWidth = Source::kWidth;
  typename Part::Shared& s = Part::shared();
  const request::Softmax& o = operation.softmax;
  const int64_t row = platform::block_x() >> shape.cluster_shift;
  platform::cluster_arrive();
  const Source source(request::row_of(operation.input, row), static_cast<int32_t>(operation.columns), true);
  const LineRange block = lines_of_block<Part>(source, shape.block_lines);
  const LineRange own = Part::lines_of_warp(block);
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  begin_own_lines<Part>(source, block, own);
  draw::SoftmaxRow r;
  const bool valid = draw::make_softmax_row(o.temperature.at(row), &r);
  platform::warp_barrier<kWave>();
  platform::finish_copy(&s.copied[warp_index<kWave>()]);

  const uint64_t of_lane = largest_of_lane<kDtype, kWave>(own);
  const uint64_t nan = platform::warp_ballot<kWave>((of_lane & Part::kSawNan) != 0) != 0 ? Part::kSawNan : 0;
  const uint64_t max = tell_and_combine<Part>(
      platform::warp_largest<kWave>(static_cast<uint32_t>(of_lane)) | nan, s.max, true, [](uint64_t a, uint64_t b) {
        const uint64_t larger = static_cast<uint32_t>(a) > static_cast<uint32_t>(b) ? a : b;
        return larger | ((a | b) & Part::kSawNan);
      });
  r.max = draw::from_ordered_bits(static_cast<uint32_t>(max));
  r.empty = !valid || r.max == -draw::infinity();
  const auto y_of = [&](float x) { return draw::mul_rn(draw::sub_rn(x, r.max), r.scale); };
  if (!r.empty && r.greedy) {
    r.best = static_cast<int32_t>(tell_and_combine<Part>(first_best<kDtype, kWave>(source, block, own, r.max), s.mass,
                                                         false, [](uint64_t a, uint64_t b) { return a < b ? a : b; }));
  } else if (!r.empty) {
    ThreadMass<kWave> sum;
    const bool infinite = r.max == draw::infinity();
    Part::visit(own, [&](int32_t, const platform::Words16& words) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float x = Stored<kDtype>::to_float(words, i);
        sum.add(!infinite ? y_of(x) : x == r.max ? 0.0f : kNoWeight);
      }
    });
    r.set_total(tell_and_combine<Part>(warp_sum<kWave>(sum.value()), s.mass, false,
                                       [](uint64_t a, uint64_t b) { return a + b; }));
  }
  if (operation.row_status != nullptr && platform::cluster_rank() == 0 && platform::thread_index() == 0) {
    const uint32_t saw = (max & Part::kSawNan) != 0 ? uint32_t{draw::kNanLogit} : 0u;
    operation.row_status[row] = !valid ? uint32_t{draw::kBadParameter} : saw | (r.empty ? draw::kNoCandidate : 0u);
  }

  using OutBits = typename Stored<kOut>::Bits;
  const auto write = [&](const auto& bits_of) {
    write_part<kDtype, kOut, true>(
        source, block.first, own, [](int32_t line) { return resident_words()[line * kWave + lane_index<kWave>()]; },
        reinterpret_cast<OutBits*>(request::row_of(operation.output, row)),
        [&](int32_t id, const auto& x, auto& made) {
#pragma unroll
          for (int i = 0; i < static_cast<int>(sizeof(x) / sizeof(x[0])); ++i) made[i] = bits_of(id + i, x[i]);
        });
  };
  if (r.empty || r.greedy) {
    const OutBits nothing = bits_of_value<kOut>(o.log ? -static_cast<double>(draw::infinity()) : 0.0);
    const OutBits all = bits_of_value<kOut>(o.log ? 0.0 : 1.0);
    const int32_t best = r.empty ? -1 : r.best;
    write([=](int32_t id, float) { return id == best ? all : nothing; });
  } else if (o.log) {
    write([&](int32_t, float x) {
      bool is_nan = false;
      return bits_of_value<kOut>(r.log_probability(draw::nan_to_minus_infinity(x, is_nan)));
    });
  } else if (r.max == draw::infinity()) {
    const OutBits each = bits_of_value<kOut>(r.probability(draw::kWeightOne));
    write([=](int32_t, float x) { return x == draw::infinity() ? each : OutBits{0}; });
  } else {
    write([&](int32_t, float x) { return bits_of_share<kOut>(share_of<kWave>(y_of(x), r.inverse_total)); });
  }
}

template <request::Dtype kDtype, request::Dtype kOut, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(plan::kGpuClusterThreads, plan::kGpuClusterBlocksAtOnce)
    softmax_resident(const TOKENDRAW_GRID_CONSTANT request::Operation operation,
                     const TOKENDRAW_GRID_CONSTANT ResidentShape shape) {
  if constexpr (platform::kHasClusters) softmax_on_chip<kDtype, kOut, kWave>(operation, shape);
}

template <request::Dtype kDtype, int kWave>
ResidentKernel softmax_resident_kernel_of(request::Dtype output_dtype) {
  if (output_dtype == request::Dtype::kF32) return softmax_resident<kDtype, request::Dtype::kF32, kWave>;
  if (output_dtype == request::Dtype::kF16) return softmax_resident<kDtype, request::Dtype::kF16, kWave>;
  return softmax_resident<kDtype, request::Dtype::kBf16, kWave>;
}

}  // namespace tokendraw::gpu
