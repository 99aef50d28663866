// SPDX-License-Identifier: Apache-2.0
#include "cpu/exact_row.h"

#include <algorithm>

#include "cpu/find_cut.h"
#include "cpu/row_view.h"
#include "draw/rank_key.h"

namespace tokendraw::cpu {
namespace {

constexpr int32_t kMaxLoose = 4096;  // a longer list above the first threshold is left to the search

class ExactRow {
 public:
  ExactRow(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels& kernels,
           const RowScratch& scratch)
      : in_(inputs),
        params_(inputs.params),
        options_(options),
        row_(inputs, kernels, scratch),
        chunk_mass_(scratch.chunk_mass),
        list_{scratch.list_x, scratch.list_id, 0, list_capacity(inputs.vocab)} {}

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
      draw_by_chunk(row_, 0);
    } else if (!(options_.try_candidates && draw_from_candidates())) {
      draw_by_search();
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

  // A logit that the cut is not below.
  float candidate_threshold() const {
    if (in_.vocab <= kSortable) return -draw::infinity();
    const int32_t chunks = row_.chunks();
    float threshold = sure_threshold(row_.f32(), row_.chunk_max(), chunks, params_.top_k);
    // A base of top_k alone needs all of its tokens, whatever min_p says of them.
    const bool base_needs_all = params_.top_p_on && params_.base == draw::TopPBase::kAfterTopK && top_k_on();
    if (min_p_on() && !base_needs_all) {
      threshold = std::max(threshold, smallest_weighing(params_.min_weight));
    }
    return threshold;
  }

  // True if the row could be answered from the few logits at or above a sure threshold.
  bool draw_from_candidates() {
    if (in_.vocab > kSortable && (!top_k_on() || params_.top_k > options_.candidate_top_k)) return false;
    list_.size = row_.gather(candidate_threshold(), max_, list_.x, list_.id);
    if (list_.size > kMaxLoose) return no_candidates();
    tighten_candidates();
    const int32_t n = list_.size;
    if (n > kSortable) return no_candidates();

    uint64_t unsorted[kSortable];
    uint64_t keys[kSortable];
    for (int32_t i = 0; i < n; ++i) unsorted[i] = draw::rank_key(list_.x[i], static_cast<uint32_t>(list_.id[i]));
    row_.kernels().sort_keys(unsorted, n, keys);
    float x[kSortable];
    for (int32_t i = 0; i < n; ++i) x[i] = draw::rank_key_logit(keys[i]);
    uint64_t weight[kSortable];
    row_.kernels().weights(x, n, rule_, weight);

    const uint64_t need = params_.top_p_on ? draw::top_p_need(base_mass(weight, n), params_.top_p) : ~uint64_t{0};
    int32_t kept = 0;
    uint64_t mass = 0;
    while (kept < n && kept < params_.top_k && weight[kept] >= params_.min_weight && mass < need)
      mass += weight[kept++];
    draw_from_cut(ListView(row_.kernels(), list_), keys[kept - 1]);
    return true;
  }

  bool no_candidates() {
    list_.size = 0;
    return false;
  }

  // Where large logits keep close together, few groups hold many: the candidates themselves give a better threshold.
  void tighten_candidates() {
    const int32_t k = params_.top_k;
    if (list_.size < k + k / 2 + 16) return;
    const float low = sure_threshold(row_.f32(), list_.x, list_.size, k);
    list_.size = row_.f32().gather(list_.x, list_.size, low, max_, nullptr, list_.id, 0, list_.x, list_.id);
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

  // ---- By search

  void draw_by_search() {
    uint64_t cut_k = 0;
    uint64_t cut = 0;
    if (top_k_on()) {
      const uint64_t k = static_cast<uint64_t>(params_.top_k);
      const uint64_t all = static_cast<uint64_t>(in_.vocab);
      cut = cut_k = search({Measure::kCount, k, -draw::infinity(), max_, 0, -draw::infinity(), all, false});
    }
    if (min_p_on()) cut = std::max(cut, draw::rank_key(smallest_weighing(params_.min_weight), ~uint32_t{0}));
    if (params_.top_p_on) {
      const uint64_t base_cut = params_.base == draw::TopPBase::kAll         ? 0
                                : params_.base == draw::TopPBase::kAfterTopK ? cut_k
                                                                             : cut;
      cut = std::max(cut, base_is_row() ? top_p_cut_of_row() : top_p_cut_within(base_cut));
    }
    // The list of the last search holds all down to its own cut, and the cut that counts is not below any.
    if (list_.size > 0 && !found_.above_is_known) return draw_from_cut(ListView(row_.kernels(), list_), cut);
    if (list_.size > 0 && cut == found_.key) return draw_from_row_and_list(cut);
    draw_from_cut(row_, cut);
  }

  // Leaves in list_ what the search has listed of the top of the row; nothing if it could not.
  uint64_t search(const CutSearch& wanted) {
    found_ = find_cut(row_, rule_, wanted, list_, chunk_mass_);
    list_.size = found_.listed;
    return found_.key;
  }

  // chunk_mass_ holds the masses of all logits.
  uint64_t top_p_cut_of_row() {
    const uint64_t need = draw::top_p_need(total_, params_.top_p);
    const float low = smallest_weighing(sure_weight(chunk_mass_, row_.chunks(), total_, need));
    return search({Measure::kMass, need, low, max_, 0, -draw::infinity(), total_, options_.try_candidates});
  }

  uint64_t top_p_cut_within(uint64_t base_cut) {
    const uint64_t base = list_.size > 0 && !found_.above_is_known
                              ? mass_from(ListView(row_.kernels(), list_), base_cut)
                              : mass_from(row_, base_cut);
    const uint64_t need = draw::top_p_need(base, params_.top_p);
    const float low = std::max(smallest_weighing(1), draw::rank_key_logit(base_cut));
    return search({Measure::kMass, need, low, max_, 0, low, base, false});
  }

  // ---- From the cut to the token, with the whole row or a list of its top as `source`

  // Sums the weights with key >= cut, chunk by chunk, and counts the ties: tokens kept that have the cut's own logit.
  template <typename Source>
  uint64_t mass_from(const Source& source, uint64_t cut) {
    const float x = draw::rank_key_logit(cut);
    uint64_t mass = source.mass_above(rule_, x, chunk_mass_);
    const uint64_t each = draw::weight(x, rule_.max, rule_.scale);
    const LogitList ties = list_.rest();
    const int32_t n = source.gather(x, x, ties.x, ties.id);
    ties_ = 0;
    for (int32_t i = 0; i < n && static_cast<uint32_t>(source.id(ties.id[i])) <= draw::rank_key_id(cut); ++i) {
      chunk_mass_[ties.id[i] / kChunk] += each;
      ++ties_;
    }
    return mass + each * static_cast<uint64_t>(ties_);
  }

  template <typename Source>
  void draw_from_cut(const Source& source, uint64_t cut) {
    result_.kept_mass = mass_from(source, cut);
    if (options_.wants_kept) {
      const float x = draw::rank_key_logit(cut);
      const float lightest = smallest_weighing(1);
      result_.kept = source.count_above(std::max(x, next_down(lightest))) + (x >= lightest ? ties_ : 0);
    }
    draw_by_chunk(source, cut);
  }

  // The same where the search has summed, by chunk, what lies above an interval, and listed the interval: only the list
  // is left to add.
  void draw_from_row_and_list(uint64_t cut) {
    const float cut_x = draw::rank_key_logit(cut);
    const uint32_t cut_id = draw::rank_key_id(cut);
    result_.kept_mass = found_.above;
    uint64_t weight[kChunk];
    for (int32_t first = 0; first < list_.size; first += kChunk) {
      const int32_t n = std::min(kChunk, list_.size - first);
      row_.kernels().weights(list_.x + first, n, rule_, weight);
      uint64_t mass = 0;  // of the row's chunk that the loop is in
      int32_t chunk = list_.id[first] / kChunk;
      for (int32_t i = 0; i < n; ++i) {
        const int32_t id = list_.id[first + i];
        if (id / kChunk != chunk) {
          chunk_mass_[chunk] += mass;
          result_.kept_mass += mass;
          mass = 0;
          chunk = id / kChunk;
        }
        // key >= cut, without a branch: which tokens are kept cannot be predicted.
        const float x = list_.x[first + i];
        const bool kept = (x > cut_x) | ((x == cut_x) & (static_cast<uint32_t>(id) <= cut_id));
        mass += weight[i] & (uint64_t{0} - static_cast<uint64_t>(kept));
      }
      chunk_mass_[chunk] += mass;
      result_.kept_mass += mass;
    }
    if (options_.wants_kept) count_kept(cut);
    draw_by_chunk(row_, cut);
  }

  // The tokens with key >= cut that have a weight, the cut's token among them.
  void count_kept(uint64_t cut) {
    const float x = draw::rank_key_logit(cut);
    result_.kept = row_.count_above(x);
    for (int32_t i = 0; i < list_.size; ++i) {
      result_.kept += list_.x[i] == x && static_cast<uint32_t>(list_.id[i]) <= draw::rank_key_id(cut) ? 1 : 0;
    }
  }

  // Draws from the tokens with key >= cut, chunk_mass_ holding their weight by chunk and kept_mass the sum.
  template <typename Source>
  void draw_by_chunk(const Source& source, uint64_t cut) {
    uint64_t target = draw::draw_target(in_.random, result_.kept_mass);
    int32_t chunk = 0;
    while (chunk_mass_[chunk] <= target) target -= chunk_mass_[chunk++];
    alignas(64) float x[kChunk] = {};
    uint64_t weight[kChunk];
    const int32_t n = source.load_chunk(chunk, x);
    row_.kernels().weights(x, n, rule_, weight);
    uint64_t running = 0;
    for (int32_t i = 0; i < n; ++i) {
      const int32_t id = source.id(chunk * kChunk + i);
      if (draw::rank_key(x[i], static_cast<uint32_t>(id)) < cut) continue;
      running += weight[i];
      if (running > target) return take(id, x[i]);
    }
  }

  const RowInputs& in_;
  const draw::RowParams& params_;
  const ExactRowOptions& options_;
  RowView row_;
  uint64_t* chunk_mass_;
  LogitList list_;
  Cut found_ = {};  // by the last search
  float max_ = 0;
  WeightRule rule_ = {0, 0};
  uint64_t total_ = 0;
  int32_t ties_ = 0;
  float token_logit_ = 0;
  RowResult result_;
};

}  // namespace

RowResult exact_row(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels& kernels,
                    const RowScratch& scratch) {
  return ExactRow(inputs, options, kernels, scratch).run();
}

}  // namespace tokendraw::cpu
