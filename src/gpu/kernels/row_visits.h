// SPDX-License-Identifier: Apache-2.0
// The ways over a row's lines. A group is a power of two of lines; its largest logit says whether a later pass can
// leave the group out.
#pragma once

#include <type_traits>

#include "gpu/kernels/row_shared.h"

namespace tokendraw::gpu {

enum class Order { kForward, kBackward };

// Calls many(line, words) for runs of kLines lines of the groups [first, last), which are inside the row, with the bits
// of this lane's logits; one(line) for the lines that are in no such run. Every warp takes whole groups.
template <typename Row, int kLines, Order kOrder, typename Many, typename One>
TOKENDRAW_DEVICE void visit_runs(const typename Row::Reader& reader, int32_t first, int32_t last, const Many& many,
                                 const One& one) {
  constexpr int kWave = Row::kWave;
  const int32_t group_lines = Row::shared().settings.group_lines;
  const int32_t lines = reader.lines();
  const int32_t at_once = group_lines < kLines ? kLines >> Row::shift_of(group_lines) : 1;
  const int32_t turns = (last - first + at_once - 1) / at_once;
  for (int32_t turn = static_cast<int32_t>(warp_index<kWave>()); turn < turns; turn += Row::kWarps) {
    const int32_t group = first + (kOrder == Order::kBackward ? turns - 1 - turn : turn) * at_once;
    const int32_t last_group = group + at_once < last ? group + at_once : last;
    const int32_t end = last_group * group_lines < lines ? last_group * group_lines : lines;
    for (int32_t line = group * group_lines; line < end; line += kLines) {
      if (line + kLines <= end && reader.is_inside(line) && reader.is_inside(line + kLines - 1)) {
        platform::Words16 words[kLines];
#pragma unroll
        for (int b = 0; b < kLines; ++b) words[b] = reader.fetch_inside(line + b);
        many(line, words);
        continue;
      }
#pragma unroll 1
      for (int32_t single = line; single < line + kLines && single < end; ++single) one(single);
    }
  }
}

// Whether a line is the last of its group, of groups of a power of two of lines.
TOKENDRAW_DEVICE bool ends_group(int32_t line, int32_t group_lines, int32_t lines) {
  return ((line + 1) & (group_lines - 1)) == 0 || line + 1 == lines;
}

// Calls visit(line, words) for the lines of the groups [first, last), with the bits of this lane's logits, and
// done(group) after each group.
template <typename Row, int kLines, typename Visit, typename Done>
TOKENDRAW_DEVICE void visit_lines(const typename Row::Reader& reader, int32_t first, int32_t last, const Visit& visit,
                                  const Done& done) {
  const int32_t group_lines = Row::shared().settings.group_lines;
  const int32_t group_shift = Row::shift_of(group_lines);
  const int32_t lines = reader.lines();
  const auto visit_one = [&](int32_t line, const platform::Words16& words) {
    visit(line, words);
    if (ends_group(line, group_lines, lines)) done(line >> group_shift);
  };
  visit_runs<Row, kLines, Order::kForward>(
      reader, first, last,
      [&](int32_t line, const platform::Words16(&words)[kLines]) {
#pragma unroll
        for (int b = 0; b < kLines; ++b) visit_one(line + b, words[b]);
      },
      [&](int32_t line) { visit_one(line, reader.fetch(line)); });
}

// Lines that a warp looks at together, with this lane's logits of each. Where there is none its number is -1, and its
// logits are -inf.
template <typename Row>
struct LineBatch {
  static constexpr int kLines = Row::kBatch;
  static constexpr int kWidth = Row::Reader::kWidth;
  int32_t line[kLines];
  float x[kLines][kWidth];
  uint32_t ends;        // bit b: line[b] is the last of its group
  int32_t group_shift;  // log2 of a group's lines

  // Whether is(x) holds for any logit x of any lane of the warp, which asks together.
  template <typename Is>
  TOKENDRAW_DEVICE bool warp_has(const Is& is) const {
    bool has = false;
#pragma unroll
    for (int b = 0; b < kLines; ++b) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) has = has || is(x[b][i]);
    }
    return platform::warp_ballot<Row::kWave>(has) != 0;
  }

  // Calls done(group) if a line is the last of its group.
  template <typename Done>
  TOKENDRAW_DEVICE void finish(int b, const Done& done) const {
    if ((ends >> b & 1u) != 0) done(line[b] >> group_shift);
  }
};

// Of one line, which may reach beyond the row.
template <typename Row>
TOKENDRAW_DEVICE LineBatch<Row> batch_of_one(const typename Row::Reader& reader, int32_t line, bool ends_group,
                                             int32_t group_shift) {
  LineBatch<Row> batch;
  batch.ends = ends_group ? 1 : 0;
  batch.group_shift = group_shift;
  bool nan = false;
#pragma unroll
  for (int b = 0; b < Row::kBatch; ++b) {
    batch.line[b] = b == 0 ? line : -1;
    const platform::Words16 words = b == 0 ? reader.fetch(line) : words_of_minus_infinity<Row::Reader::kStored>();
    reader.convert(words, batch.line[b], batch.x[b], nan);
  }
  return batch;
}

// Calls visit(batch) for the lines of the groups [first, last), from the last to the first batch of a warp: the pass
// before has left the last ones in the device's cache, which holds a part of the rows that are under way.
template <typename Row, typename Visit>
TOKENDRAW_DEVICE void visit_batches_backward(int32_t first, int32_t last, const Visit& visit) {
  const typename Row::Reader reader = Row::shared().reader;
  const int32_t group_lines = Row::shared().settings.group_lines;
  const int32_t group_shift = Row::shift_of(group_lines);
  const int32_t lines = reader.lines();
  const auto ends = [&](int32_t line) { return ends_group(line, group_lines, lines); };
  visit_runs<Row, Row::kBatch, Order::kBackward>(
      reader, first, last,
      [&](int32_t line, const platform::Words16(&words)[Row::kBatch]) {
        LineBatch<Row> batch;
        batch.ends = 0;
        batch.group_shift = group_shift;
        bool nan = false;
#pragma unroll
        for (int b = 0; b < Row::kBatch; ++b) {
          batch.line[b] = line + b;
          if (ends(line + b)) batch.ends |= uint32_t{1} << b;
          reader.convert(words[b], line + b, batch.x[b], nan);
        }
        visit(batch);
      },
      [&](int32_t line) { visit(batch_of_one<Row>(reader, line, ends(line), group_shift)); });
}

// Calls visit(batch) for the lines of those of the groups [first, last) that are `needed`, which each lane says of one:
// of most rows they are few, so that a look at one after the other would take longer than what is done with them. The
// lines of a group follow one another.
template <typename Row, typename Needed, typename Visit>
TOKENDRAW_DEVICE void visit_needed_batches(int32_t first, int32_t last, const Needed& needed, const Visit& visit) {
  constexpr int kWave = Row::kWave;
  using Batch = LineBatch<Row>;
  static_assert(Row::kMaxGroups <= kWave * Row::kWarps, "a group for each lane of each warp");
  using Groups = std::conditional_t<kWave == 32, uint32_t, uint64_t>;  // a bit for each lane's
  const typename Row::Reader reader = Row::shared().reader;
  const int32_t group_lines = Row::shared().settings.group_lines;
  const int32_t group_shift = Row::shift_of(group_lines);
  const int32_t first_group = first + static_cast<int32_t>(warp_index<kWave>());
  const int32_t own = first_group + static_cast<int32_t>(lane_index<kWave>()) * Row::kWarps;
  const bool wanted = own < last && needed(own);
  // Groups at the row's ends have lines that are read logit by logit.
  const bool whole = (own + 1) << group_shift <= reader.lines() && reader.is_inside(own << group_shift) &&
                     reader.is_inside(((own + 1) << group_shift) - 1);
  auto groups = static_cast<Groups>(platform::warp_ballot<kWave>(wanted && whole));
  auto ends = static_cast<Groups>(platform::warp_ballot<kWave>(wanted && !whole));
  platform::warp_barrier<kWave>();  // what `needed` looks at may become what is found of the groups
  const auto next_line_of = [&](Groups& left) {
    const int32_t group = first_group + platform::first_bit(left) * Row::kWarps;
    left &= left - 1;
    return group << group_shift;
  };
  int32_t next = 0;  // lines [next, end) of a group are left
  int32_t end = 0;
  while (next < end || groups != 0) {
    Batch batch;
    batch.ends = 0;
    batch.group_shift = group_shift;
    platform::Words16 words[Batch::kLines];
    if (group_lines >= Batch::kLines) {  // all of one group
      if (next == end) {
        next = next_line_of(groups);
        end = next + group_lines;
      }
#pragma unroll
      for (int b = 0; b < Batch::kLines; ++b) {
        batch.line[b] = next + b;
        words[b] = reader.fetch_inside(next + b);
      }
      next += Batch::kLines;
      if (next == end) batch.ends = uint32_t{1} << (Batch::kLines - 1);
    } else {
#pragma unroll
      for (int b = 0; b < Batch::kLines; ++b) {
        if (next == end && groups != 0) {
          next = next_line_of(groups);
          end = next + group_lines;
        }
        batch.line[b] = next < end ? next++ : -1;
        if (batch.line[b] >= 0 && next == end) batch.ends |= uint32_t{1} << b;
        words[b] = words_of_minus_infinity<Row::Reader::kStored>();
        if (batch.line[b] >= 0) words[b] = reader.fetch_inside(batch.line[b]);
      }
    }
    bool nan = false;
#pragma unroll
    for (int b = 0; b < Batch::kLines; ++b) reader.convert(words[b], batch.line[b], batch.x[b], nan);
    visit(batch);
  }
  while (ends != 0) {
    const int32_t first_line = next_line_of(ends);
    const int32_t end_line = first_line + group_lines < reader.lines() ? first_line + group_lines : reader.lines();
#pragma unroll 1
    for (int32_t line = first_line; line < end_line; ++line) {
      visit(batch_of_one<Row>(reader, line, line + 1 == end_line, group_shift));
    }
  }
}

// Calls visit(id, x) for the vectors of logits, x[i] being that of id + i, of those of the groups [first, last) that
// are `needed`, and done(group) after each of them.
template <typename Row, typename Needed, typename Visit, typename Done>
TOKENDRAW_DEVICE void visit_needed_vectors(int32_t first, int32_t last, const Needed& needed, const Visit& visit,
                                           const Done& done) {
  const typename Row::Reader reader = Row::shared().reader;
  visit_needed_batches<Row>(first, last, needed, [&](const LineBatch<Row>& batch) {
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
      if (batch.line[b] < 0) continue;
      visit(reader.first_id(batch.line[b]), batch.x[b]);
      batch.finish(b, done);
    }
  });
}

// The same by single logits: calls visit(id, x).
template <typename Row, typename Needed, typename Visit, typename Done>
TOKENDRAW_DEVICE void visit_needed_logits(int32_t first, int32_t last, const Needed& needed, const Visit& visit,
                                          const Done& done) {
  visit_needed_vectors<Row>(
      first, last, needed,
      [&](int32_t id, const float(&x)[Row::Reader::kWidth]) {
#pragma unroll
        for (int i = 0; i < Row::Reader::kWidth; ++i) visit(id + i, x[i]);
      },
      done);
}

// Whether a group's largest logit is at least `low`.
template <typename Row>
TOKENDRAW_DEVICE auto has_from(float low) {
  return [low](int32_t group) { return Row::shared().group_max[group] >= low; };
}

// Those of which that is so.
template <typename Row, typename Visit, typename Done>
TOKENDRAW_DEVICE void visit_vectors_from(float low, int32_t first, int32_t last, const Visit& visit, const Done& done) {
  visit_needed_vectors<Row>(first, last, has_from<Row>(low), visit, done);
}
template <typename Row, typename Visit, typename Done>
TOKENDRAW_DEVICE void visit_logits_from(float low, int32_t first, int32_t last, const Visit& visit, const Done& done) {
  visit_needed_logits<Row>(first, last, has_from<Row>(low), visit, done);
}

}  // namespace tokendraw::gpu
