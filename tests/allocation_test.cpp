// SPDX-License-Identifier: Apache-2.0
// tokendraw_sample allocates nothing, on any thread: every allocation of the process is counted while it runs.
#include <filter_case.h>
#include <gtest/gtest.h>
#include <random_case.h>
#include <softmax_case.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void count_one() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

#if defined(TOKENDRAW_TEST_SANITIZED)
// The sanitizers own malloc; they tell of each call.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                                         void (*free_hook)(const volatile void*));
namespace {
void malloc_hook(const volatile void* /*pointer*/, size_t /*size*/) { count_one(); }
void free_hook(const volatile void* /*pointer*/) {}
const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(malloc_hook, free_hook);
}  // namespace
#else
// In front of the C library's own functions, for this program and every library it loads; operator new calls malloc.
#pragma GCC visibility push(default)
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* pointer, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  count_one();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  count_one();
  return __libc_calloc(count, size);
}
void* realloc(void* pointer, size_t size) {
  count_one();
  return __libc_realloc(pointer, size);
}
void* memalign(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** pointer, size_t alignment, size_t size) {
  count_one();
  *pointer = __libc_memalign(alignment, size);
  return *pointer == nullptr ? 12 : 0;
}
}
#pragma GCC visibility pop
#endif

namespace tokendraw::test {
namespace {

// The allocations of one call.
template <typename Call>
int64_t count_allocations(const Call& call) {
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

TEST(Allocation, TheCounterCounts) {
  EXPECT_EQ(count_allocations([] {}), 0);
  void* volatile kept = nullptr;
  EXPECT_GE(count_allocations([&] { kept = std::malloc(100); }), 1);
  std::free(kept);
  int* volatile number = nullptr;
  EXPECT_GE(count_allocations([&] { number = new int(3); }), 1);
  delete number;
  struct alignas(64) Wide {
    char bytes[64];
  };
  Wide* volatile wide = nullptr;
  EXPECT_GE(count_allocations([&] { wide = new Wide; }), 1);
  delete wide;
}

BatchSpec batch_with_everything(cases::RowKind kind, int32_t vocab, TokendrawDtype dtype) {
  TestRandom random(9);
  BatchSpec spec;
  spec.dtype = dtype;
  for (int r = 0; r < 12; ++r) {
    spec.logits.push_back(make_logits(kind, vocab, dtype, random));
    spec.rows.push_back(make_row_parameters(vocab, random, r == 5));
    if (r % 2 == 0) {
      add_row_inputs(spec.rows.back(), vocab, {.mask = true, .sparse_bias = true, .history = true, .bad_ids = true},
                     random);
    }
  }
  return spec;
}

TEST(Allocation, NoneInSample) {
  for (const int32_t threads : {1, 4}) {
    if (kSanitized && threads > 1) continue;  // a sanitizer allocates for each thread that starts, whenever that is
    std::vector<Variant> variants = on_cpu(exact_variants(threads));
    variants.push_back({TOKENDRAW_ALGORITHM_REJECTION, "", threads});
    for (const Variant& variant : variants) {
      for (const auto kind : {cases::RowKind::kNormal1, cases::RowKind::kEqual, cases::RowKind::kNormal5}) {
        for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_BF16}) {
          const SamplerPointer sampler = make_sampler(variant);  // new, so that the first call is counted
          PackedBatch packed(batch_with_everything(kind, kSanitized ? 500 : 5000, dtype));
          size_t bytes = 0;
          int64_t while_asking =
              count_allocations([&] { tokendraw_get_workspace_bytes(sampler.get(), &packed.batch, &bytes); });
          std::vector<unsigned char> workspace(bytes);
          TokendrawStatus status = TOKENDRAW_ERROR_INTERNAL;
          const int64_t while_sampling = count_allocations(
              [&] { status = tokendraw_sample(sampler.get(), &packed.batch, workspace.data(), bytes, nullptr); });
          EXPECT_EQ(status, TOKENDRAW_OK);
          EXPECT_EQ(while_asking, 0) << to_text(variant);
          EXPECT_EQ(while_sampling, 0) << to_text(variant);
        }
      }
    }
  }
}

TEST(Allocation, NoneInABuildingBlock) {
  for (const int32_t threads : {1, 4}) {
    if (kSanitized && threads > 1) continue;  // as above
    const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", threads});
    cases::SoftmaxCall softmax(cases::SoftmaxCase{});
    cases::PrefixSumCall sum(cases::PrefixSumCase{});
    cases::RandomCall random(cases::RandomCase{TOKENDRAW_GENERATOR_XORWOW, TOKENDRAW_RANDOM_U64, 10000});
    cases::FilterCall filter(cases::FilterCase{.vocab = 5000, .setting = cases::kFilterCaseSettings[9]});
    int failures = 0;
    const int64_t counted = count_allocations([&] {
      for (const bool host : {false, true}) {
        failures += (host ? tokendraw_compute_softmax_host(sampler.get(), &softmax.softmax)
                          : tokendraw_compute_softmax(sampler.get(), &softmax.softmax, nullptr)) != TOKENDRAW_OK;
        failures += (host ? tokendraw_compute_prefix_sum_host(sampler.get(), &sum.sum)
                          : tokendraw_compute_prefix_sum(sampler.get(), &sum.sum, nullptr)) != TOKENDRAW_OK;
        failures += (host ? tokendraw_fill_random_host(sampler.get(), &random.random)
                          : tokendraw_fill_random(sampler.get(), &random.random, nullptr)) != TOKENDRAW_OK;
        failures += (host ? tokendraw_apply_filter_host(sampler.get(), &filter.filter)
                          : tokendraw_apply_filter(sampler.get(), &filter.filter, nullptr)) != TOKENDRAW_OK;
      }
    });
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(counted, 0) << threads << " threads";
  }
}

TEST(Allocation, NoneInARefusalAndItsMessage) {
  const SamplerPointer sampler = make_sampler({});
  PackedBatch packed(single_row({1.0f, 2.0f}));
  packed.batch.vocab = -5;
  TokendrawStatus status = TOKENDRAW_OK;
  const char* message = nullptr;
  EXPECT_EQ(count_allocations([&] {
              status = tokendraw_sample(sampler.get(), &packed.batch, nullptr, 0, nullptr);
              message = tokendraw_last_error_message();
            }),
            0);
  EXPECT_EQ(status, TOKENDRAW_INVALID_VOCAB);
  EXPECT_STRNE(message, "");
}

TEST(Allocation, SampleHostAllocatesOnlyWhenItsWorkspaceGrows) {
  // One thread under a sanitizer, which allocates for each thread that starts, whenever that is.
  const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", kSanitized ? 1 : 2});
  PackedBatch large(batch_with_everything(cases::RowKind::kNormal1, 3000, TOKENDRAW_DTYPE_F32));
  PackedBatch small(batch_with_everything(cases::RowKind::kNormal1, 300, TOKENDRAW_DTYPE_F32));
  EXPECT_GE(count_allocations([&] { tokendraw_sample_host(sampler.get(), &large.batch); }), 1);
  EXPECT_EQ(count_allocations([&] { tokendraw_sample_host(sampler.get(), &large.batch); }), 0);
  EXPECT_EQ(count_allocations([&] { tokendraw_sample_host(sampler.get(), &small.batch); }), 0);
}

}  // namespace
}  // namespace tokendraw::test
