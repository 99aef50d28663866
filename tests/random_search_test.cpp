// SPDX-License-Identifier: Apache-2.0
// Random search: batches of random shape, content and parameters, compared between the tests' oracle and every
// algorithm and SIMD target. A failure is shrunk and printed with RC_PARAMS, which reproduces it.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <sstream>

#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {

// A batch by what shrinks well; the content of its rows follows from the seed.
struct SearchedBatch {
  int32_t vocab = 1;
  int32_t rows = 1;
  int32_t kind = 0;  // of the case list; one past it: any floats
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  TokendrawTopPBase base = TOKENDRAW_TOP_P_AFTER_TOP_K;
  RowInputs inputs;
  bool indexed = false;
  int32_t randomness = 0;  // seeds, u64, f32
  int32_t bad_rows = 0;    // in 8
  int32_t lead_elements = 0;
  int32_t padding = 0;
  bool scalars = false;
  int32_t threads = 1;
  uint64_t seed = 0;

  BatchSpec spec() const;
  Layout layout() const;
};

std::ostream& operator<<(std::ostream& out, const SearchedBatch& b) {
  const std::span<const cases::RowKind> kinds = cases::all_row_kinds();
  const auto kind = static_cast<size_t>(b.kind);
  return out << "vocab " << b.vocab << ", rows " << b.rows << ", "
             << (kind < kinds.size() ? cases::row_kind_name(kinds[kind]) : "any floats") << ", "
             << tokendraw_dtype_name(b.dtype) << ", " << tokendraw_top_p_base_name(b.base) << ", mask " << b.inputs.mask
             << ", dense bias " << b.inputs.dense_bias << ", sparse bias " << b.inputs.sparse_bias << ", history "
             << b.inputs.history << ", bad ids " << b.inputs.bad_ids << ", indexed " << b.indexed << ", randomness "
             << b.randomness << ", bad rows " << b.bad_rows << "/8, lead " << b.lead_elements << ", padding "
             << b.padding << ", scalars " << b.scalars << ", threads " << b.threads << ", seed " << b.seed;
}

BatchSpec SearchedBatch::spec() const {
  TestRandom random(seed);
  BatchSpec spec;
  spec.dtype = dtype;
  spec.top_p_base = base;
  spec.invalid_token = seed % 2 == 0 ? -1 : -5;
  const std::span<const cases::RowKind> kinds = cases::all_row_kinds();
  const auto source_rows = static_cast<size_t>(indexed ? (rows + 1) / 2 : rows);
  for (size_t r = 0; r < source_rows; ++r) {
    const auto which = static_cast<size_t>(kind);
    spec.logits.push_back(which < kinds.size() ? make_logits(kinds[which], vocab, dtype, random)
                                               : make_wild_logits(vocab, dtype, random));
  }
  for (int32_t r = 0; r < rows; ++r) {
    RowSpec row = make_row_parameters(vocab, random, !scalars && random.below(8) < static_cast<uint64_t>(bad_rows));
    if (scalars && r > 0) row = spec.rows[0];
    if (!scalars || r == 0) {
      // The scalars of row 0 count for all rows, so that its lists may not change the penalties of the others.
      add_row_inputs(row, vocab, inputs, random);
    }
    spec.rows.push_back(row);
    if (indexed) {
      const bool outside = !scalars && random.below(16) < static_cast<uint64_t>(bad_rows);
      const auto bound = static_cast<int32_t>(source_rows);
      spec.row_index.push_back(outside ? (random.chance(0.5) ? -1 : bound)
                                       : static_cast<int32_t>(random.below(static_cast<uint64_t>(bound))));
    }
    if (randomness == 1) spec.random_u64.push_back(random.chance(0.3) ? 0 - random.below(2) : random.bits());
    if (randomness == 2) {
      static constexpr std::array<float, 8> kEdges = {0.0f, 0.99999994f, 0x1p-149f, -0.0f, 1.0f, kNan, -0.5f, 0.5f};
      spec.random_f32.push_back(random.chance(0.3) ? random.one_of(kEdges)
                                                   : static_cast<float>(random.below(1 << 24)) * 0x1p-24f);
    }
  }
  return spec;
}

Layout SearchedBatch::layout() const {
  Layout layout;
  layout.lead_elements = lead_elements;
  layout.padding_columns = padding;
  layout.padding_words = padding % 3;
  layout.scalar_parameters = scalars;
  layout.share_mask = scalars;
  layout.share_dense_bias = scalars;
  return layout;
}

}  // namespace tokendraw::test

namespace rc {

using tokendraw::test::SearchedBatch;

template <>
struct Arbitrary<SearchedBatch> {
  static Gen<SearchedBatch> arbitrary() {
    const auto upto = [](int32_t last) { return gen::resize(kNominalSize, gen::inRange<int32_t>(0, last + 1)); };
    const auto flag = [&](int32_t one_in) { return gen::map(upto(one_in - 1), [](int32_t x) { return x == 1; }); };
    const auto kinds = static_cast<int32_t>(tokendraw::cases::all_row_kinds().size());
    const auto inputs =
        gen::build<tokendraw::test::RowInputs>(gen::set(&tokendraw::test::RowInputs::mask, flag(4)),
                                               gen::set(&tokendraw::test::RowInputs::dense_bias, flag(5)),
                                               gen::set(&tokendraw::test::RowInputs::sparse_bias, flag(4)),
                                               gen::set(&tokendraw::test::RowInputs::history, flag(3)),
                                               gen::set(&tokendraw::test::RowInputs::bad_ids, flag(2)));
    const auto batch = gen::build<SearchedBatch>(
        gen::set(&SearchedBatch::vocab, gen::weightedOneOf<int32_t>({{8, gen::map(upto(99), add_one)},
                                                                     {8, gen::map(upto(699), add_one)},
                                                                     {8, gen::map(upto(4999), add_one)},
                                                                     {1, gen::map(upto(59999), add_one)}})),
        gen::set(&SearchedBatch::rows, gen::map(upto(8), add_one)), gen::set(&SearchedBatch::kind, upto(kinds)),
        gen::set(&SearchedBatch::dtype, gen::map(upto(2), [](int32_t x) { return static_cast<TokendrawDtype>(x); })),
        gen::set(&SearchedBatch::base, gen::map(upto(2), [](int32_t x) { return static_cast<TokendrawTopPBase>(x); })),
        gen::set(&SearchedBatch::inputs, inputs), gen::set(&SearchedBatch::indexed, flag(4)),
        gen::set(&SearchedBatch::randomness,
                 gen::weightedOneOf<int32_t>({{4, gen::just(0)}, {1, gen::just(1)}, {1, gen::just(2)}})),
        gen::set(&SearchedBatch::bad_rows, gen::weightedOneOf<int32_t>({{3, gen::just(0)}, {1, gen::just(2)}})),
        gen::set(&SearchedBatch::lead_elements, upto(33)), gen::set(&SearchedBatch::padding, upto(33)),
        gen::set(&SearchedBatch::scalars, flag(4)),
        gen::set(&SearchedBatch::threads, gen::element<int32_t>(1, 1, 2, 7)),
        gen::set(&SearchedBatch::seed, gen::resize(kNominalSize, gen::arbitrary<uint64_t>())));
    // A batch has one kind of bias.
    return gen::map(batch, [](SearchedBatch b) {
      if (b.inputs.dense_bias) b.inputs.sparse_bias = false;
      return b;
    });
  }
  static int32_t add_one(int32_t x) { return x + 1; }
};

}  // namespace rc

namespace tokendraw::test {
namespace {

void compare(const SearchedBatch& batch, const std::vector<Variant>& variants, const std::vector<RowResult>& expected,
             const BatchSpec& spec) {
  for (const Variant& variant : variants) {
    const std::string found = difference(expected, run(variant, spec, batch.layout()));
    if (!found.empty()) RC_FAIL(to_text(variant) + ": " + found);
  }
}

RC_GTEST_PROP(RandomSearch, EveryAlgorithmAndTargetAgreesWithTheOracle, (const SearchedBatch& batch)) {
  const BatchSpec spec = batch.spec();
  compare(batch, exact_variants(batch.threads), oracle_results(spec), spec);
}

RC_GTEST_PROP(RandomSearch, RejectionAgreesWithTheOracle, (SearchedBatch batch)) {
  batch.randomness = 0;
  const BatchSpec spec = batch.spec();
  compare(batch, rejection_variants(batch.threads), rejection_results(spec), spec);
}

}  // namespace
}  // namespace tokendraw::test
