// SPDX-License-Identifier: Apache-2.0
#include "cpu/exact_row.h"

#include <algorithm>
#include <functional>

#include "cpu/find_cut.h"
#include "cpu/row_view.h"
#include "draw/rank_key.h"

namespace tokendraw::cpu {
namespace {

constexpr int32_t kMaxCandidates = 1024;   // a longer list of candidates is left to the search
constexpr int32_t kTopPCandidates = 64;    // group maxima that a first guess at a top-p nucleus takes in
constexpr int32_t kSmallRow = 4 * kChunk;  // a row up to this length is all candidates

class ExactRow {
 public:
  ExactRow(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels& kernels,
           const RowScratch& scratch)
      : in_(inputs),
        params_(inputs.params),
        options_(options),
        row_(inputs, kernels, scratch),
        chunk_mass_(scratch.chunk_mass),
        list_{scratch.list_x, scratch.list_id, 0} {}

  RowResult run() {
    max_ = row_.read_max();
    result_.status = row_.status();
    if (max_ == -draw::infinity()) {
      result_.status |= draw::kNoCandidate;
      return result_;
    }
    rule_ = {max_, params_.greedy ? logprob_scale(params_) : params_.scale};
    if (options_.wants_logprob || needs_total()) total_ = row_.mass_above(rule_, -draw::infinity(), chunk_mass_);
    if (params_.greedy) {
      take_best();
    } else if (unfiltered()) {
      result_.kept_mass = total_;
      if (options_.wants_kept) result_.kept = row_.count_above(next_down(smallest_weighing(1)));
      draw_from_chunks(0);
    } else if (!(options_.try_candidates && draw_from_candidates())) {
      draw_from_cut(search_cut());
    }
    if (options_.wants_logprob) result_.logprob = log_probability(in_, token_logit_, max_, total_);
    return result_;
  }

 private:
  bool top_k_on() const { return params_.top_k < in_.vocab; }
  bool min_p_on() const { return params_.min_weight > 0; }
  bool unfiltered() const { return !top_k_on() && !params_.top_p_on && !min_p_on(); }

  // Whether top_p is a share of the whole row.
  bool base_is_row() const {
    if (params_.base == draw::TopPBase::kAll) return true;
    return !top_k_on() && (params_.base == draw::TopPBase::kAfterTopK || !min_p_on());
  }
  bool needs_total() const { return !params_.greedy && (unfiltered() || (params_.top_p_on && base_is_row())); }

  // The smallest logit whose weight reaches `least` >= 1. It exists: the largest logit weighs 2^42.
  float smallest_weighing(uint64_t least) const {
    uint32_t below = draw::ordered_bits(-draw::infinity());  // weighs less
    uint32_t reaches = draw::ordered_bits(max_);
    while (reaches - below > 1) {
      const uint32_t middle = below + (reaches - below) / 2;
      const bool enough = draw::weight(draw::from_ordered_bits(middle), rule_.max, rule_.scale) >= least;
      (enough ? reaches : below) = middle;
    }
    return draw::from_ordered_bits(reaches) + 0.0f;
  }

  void take(int32_t token, float logit) {
    result_.token = token;
    token_logit_ = logit;
  }

  void take_best() {
    int32_t chunk = 0;
    while (row_.chunk_max()[chunk] != max_) ++chunk;
    alignas(64) float x[kChunk];
    row_.load_chunk(chunk, x);
    take(chunk * kChunk + static_cast<int32_t>(std::find(x, x + kChunk, max_) - x), max_);
    result_.kept = 1;
    result_.kept_mass = draw::kWeightOne;
  }

  // ---- By candidates

  // The logits from which candidates are taken: those at or above `low`.
  struct Threshold {
    float low;
    bool sure;  // the cut is not below; false: a guess at where top_p puts it
  };

  Threshold candidate_threshold() const {
    if (in_.vocab <= kSmallRow) return {-draw::infinity(), true};
    const int32_t chunks = row_.chunks();
    const int32_t wanted = top_k_on() ? params_.top_k : std::min(kTopPCandidates, chunks / 2);
    Threshold threshold = {sure_threshold(row_.f32(), row_.chunk_max(), chunks, wanted), top_k_on()};
    // A base of top_k alone needs all of its tokens, whatever min_p says of them.
    const bool base_needs_all = params_.top_p_on && params_.base == draw::TopPBase::kAfterTopK && top_k_on();
    if (min_p_on() && !base_needs_all) {
      const float lightest = smallest_weighing(params_.min_weight);
      if (lightest >= threshold.low) threshold = {lightest, true};
    }
    return threshold;
  }

  // Whether a threshold bounds the number of candidates at all.
  bool candidates_apply() const {
    if (in_.vocab <= kSmallRow) return true;
    if (top_k_on()) return params_.top_k <= options_.candidate_top_k;
    return params_.top_p_on && base_is_row();
  }

  // True if the row could be answered from the logits at or above a threshold. If not, `bounded_` may tell the search
  // more.
  bool draw_from_candidates() {
    if (!candidates_apply()) return false;
    const Threshold threshold = candidate_threshold();
    list_.size = row_.gather(threshold.low, max_, list_.x, list_.id);
    const int32_t n = list_.size;
    if (n > kMaxCandidates) return false;

    uint64_t keys[kMaxCandidates];
    for (int32_t i = 0; i < n; ++i) keys[i] = draw::rank_key(list_.x[i], static_cast<uint32_t>(list_.id[i]));
    std::sort(keys, keys + n, std::greater<uint64_t>());
    float x[kMaxCandidates];
    for (int32_t i = 0; i < n; ++i) x[i] = draw::rank_key_logit(keys[i]);
    uint64_t weight[kMaxCandidates];
    row_.kernels().weights(x, n, rule_, weight);

    const uint64_t need = params_.top_p_on ? draw::top_p_need(base_mass(weight, n), params_.top_p) : ~uint64_t{0};
    int32_t kept = 0;
    uint64_t mass = 0;
    while (kept < n && kept < params_.top_k && weight[kept] >= params_.min_weight && mass < need)
      mass += weight[kept++];
    if (kept == n && mass < need && !threshold.sure) {  // the nucleus goes on below
      bound_ = {next_down(threshold.low), mass};
      return false;
    }
    draw_from_list(keys[kept - 1], mass);
    return true;
  }

  // The mass that top_p is a share of; weight[] of the candidates in their order.
  uint64_t base_mass(const uint64_t* weight, int32_t n) const {
    if (base_is_row()) return total_;
    uint64_t mass = 0;
    for (int32_t i = 0; i < n && i < params_.top_k; ++i) {
      if (params_.base == draw::TopPBase::kAfterTopK || weight[i] >= params_.min_weight) mass += weight[i];
    }
    return mass;
  }

  // Draws from the tokens of the list with key >= cut, whose summed weight is `mass`.
  void draw_from_list(uint64_t cut, uint64_t mass) {
    uint64_t weight[kMaxCandidates];
    row_.kernels().weights(list_.x, list_.size, rule_, weight);
    const uint64_t target = draw::draw_target(in_.random, mass);
    uint64_t running = 0;
    bool drawn = false;
    for (int32_t i = 0; i < list_.size; ++i) {
      if (weight[i] == 0 || draw::rank_key(list_.x[i], static_cast<uint32_t>(list_.id[i])) < cut) continue;
      running += weight[i];
      ++result_.kept;
      if (!drawn && running > target) {
        take(list_.id[i], list_.x[i]);
        drawn = true;
      }
    }
    result_.kept_mass = mass;
  }

  // ---- By search

  uint64_t search_cut() {
    uint64_t cut_k = 0;
    uint64_t cut_m = 0;
    uint64_t cut_p = 0;
    if (top_k_on()) {
      const uint64_t k = static_cast<uint64_t>(params_.top_k);
      cut_k = find_cut(row_, rule_, {Measure::kCount, k, -draw::infinity(), max_, 0, static_cast<uint64_t>(in_.vocab)},
                       list_, chunk_mass_);
    }
    if (min_p_on()) cut_m = draw::rank_key(smallest_weighing(params_.min_weight), ~uint32_t{0});
    if (params_.top_p_on) {
      const uint64_t base_cut = params_.base == draw::TopPBase::kAll         ? 0
                                : params_.base == draw::TopPBase::kAfterTopK ? cut_k
                                                                             : std::max(cut_k, cut_m);
      const uint64_t base = base_is_row() ? total_ : mass_from(base_cut);
      const uint64_t need = draw::top_p_need(base, params_.top_p);
      CutSearch search = {Measure::kMass, need, smallest_weighing(1), max_, 0, base};
      if (base_cut != 0) search.low = std::max(search.low, draw::rank_key_logit(base_cut));
      if (bound_.mass != 0) {
        search.high = bound_.high;
        search.above = bound_.mass;
      }
      cut_p = find_cut(row_, rule_, search, list_, chunk_mass_);
    }
    return std::max({cut_k, cut_m, cut_p});
  }

  // The tokens with the cut's logit that are kept: those up to its id.
  void list_ties(uint64_t cut) {
    const float x = draw::rank_key_logit(cut);
    list_.size = row_.gather(x, x, list_.x, list_.id);
    const auto last = std::upper_bound(list_.id, list_.id + list_.size, static_cast<int32_t>(tie_limit(cut)));
    list_.size = static_cast<int32_t>(last - list_.id);
  }
  static int32_t tie_limit(uint64_t cut) { return static_cast<int32_t>(std::min(draw::rank_key_id(cut), 0x7fffffffu)); }

  // Sums the weights with key >= cut, chunk by chunk.
  uint64_t mass_from(uint64_t cut) {
    const float x = draw::rank_key_logit(cut);
    uint64_t mass = row_.mass_above(rule_, x, chunk_mass_);
    const uint64_t each = draw::weight(x, rule_.max, rule_.scale);
    list_ties(cut);
    for (int32_t i = 0; i < list_.size; ++i) chunk_mass_[list_.id[i] / kChunk] += each;
    return mass + each * static_cast<uint64_t>(list_.size);
  }

  void draw_from_cut(uint64_t cut) {
    result_.kept_mass = mass_from(cut);
    if (options_.wants_kept) {
      const float x = draw::rank_key_logit(cut);
      const float weighing = smallest_weighing(1);
      const bool ties_weigh = x >= weighing;
      result_.kept = row_.count_above(std::max(x, next_down(weighing))) + (ties_weigh ? list_.size : 0);
    }
    draw_from_chunks(cut);
  }

  // Draws from the tokens with key >= cut, chunk_mass_ holding their weight by chunk and kept_mass the sum.
  void draw_from_chunks(uint64_t cut) {
    uint64_t target = draw::draw_target(in_.random, result_.kept_mass);
    int32_t chunk = 0;
    while (chunk_mass_[chunk] <= target) target -= chunk_mass_[chunk++];
    alignas(64) float x[kChunk];
    uint64_t weight[kChunk];
    const int32_t n = row_.load_chunk(chunk, x);
    row_.kernels().weights(x, n, rule_, weight);
    uint64_t running = 0;
    for (int32_t i = 0; i < n; ++i) {
      const int32_t id = chunk * kChunk + i;
      if (draw::rank_key(x[i], static_cast<uint32_t>(id)) < cut) continue;
      running += weight[i];
      if (running > target) return take(id, x[i]);
    }
  }

  // Known of a top-p search that the candidates could not end: their mass, and the largest logit that is not among
  // them.
  struct Bound {
    float high = 0;
    uint64_t mass = 0;
  };

  const RowInputs& in_;
  const draw::RowParams& params_;
  const ExactRowOptions& options_;
  RowView row_;
  uint64_t* chunk_mass_;
  LogitList list_;
  float max_ = 0;
  WeightRule rule_ = {0, 0};
  uint64_t total_ = 0;
  float token_logit_ = 0;
  Bound bound_;
  RowResult result_;
};

}  // namespace

RowResult exact_row(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels& kernels,
                    const RowScratch& scratch) {
  return ExactRow(inputs, options, kernels, scratch).run();
}

}  // namespace tokendraw::cpu
