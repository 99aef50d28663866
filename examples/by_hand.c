/* SPDX-License-Identifier: Apache-2.0 */
/* One row by hand: the worked example of docs/semantics.md, step by step in plain C, then by the library. The document
 * holds what this program prints; it fails if the library's answer is another one.
 *
 * The numbers are chosen for a pencil: the temperature makes c = 1, so that one unit of logit is a factor of 2. */

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <tokendraw/tokendraw.h>

enum { kVocab = 6, kTopK = 4 };

static const float kLogits[kVocab] = {3, 5, 4, 10, 9, 2};
static const uint32_t kMask[1] = {0x2f}; /* every id but 4 */
static const int32_t kHistoryIds[1] = {3};
static const int64_t kHistoryOffsets[2] = {0, 1};
static const float kRepetitionPenalty = 2;
static const float kTemperature = 1.44269502162933349609375f;
static const float kTopP = 0.75f;
static const float kMinP = 0.125f;
static const uint64_t kSeed = 42, kOffset = 0;
static const uint32_t kStream = 0;

/* Section 4: 2^y in units of 2^-42. */
static uint64_t exp2_fixed(float y) {
  if (!(y >= -64)) return 0;
  const float n = rintf(y);
  const float f = ((y - n) + 6.0f) - 6.0f;
  float p = 0x1.5bfd58p-10f;
  p = fmaf(p, f, 0x1.3ceaf8p-7f);
  p = fmaf(p, f, 0x1.c6b69ap-5f);
  p = fmaf(p, f, 0x1.ebf9bap-3f);
  p = fmaf(p, f, 0x1.62e42ap-1f);
  p = fmaf(p, f, 1.0f);
  const uint64_t mantissa = (uint32_t)(p * 16777216.0f);
  const int exponent = (int)n;
  return exponent >= -18 ? mantissa << (18 + exponent) : mantissa >> (-18 - exponent);
}

/* Section 6: Philox4x32-10, purpose 0. */
static uint64_t random_number(uint64_t seed, uint32_t stream, uint64_t offset) {
  uint32_t c[4] = {(uint32_t)offset, (uint32_t)(offset >> 32), stream, 0};
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1,
                              (uint32_t)a};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (uint64_t)c[1] << 32 | c[0];
}

/* The high 64 bits of a * b. */
static uint64_t multiply_high(uint64_t a, uint64_t b) {
  const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  const uint64_t middle = (a0 * b0 >> 32) + (uint32_t)(a0 * b1) + (uint32_t)(a1 * b0);
  return a1 * b1 + (a0 * b1 >> 32) + (a1 * b0 >> 32) + (middle >> 32);
}

static int is_before(const float* x, int a, int b) { return x[a] > x[b] || (x[a] == x[b] && a < b); }

int main(void) {
  /* Section 1: effective logits. */
  float x[kVocab];
  for (int id = 0; id < kVocab; ++id) x[id] = kMask[0] >> id & 1 ? kLogits[id] : -INFINITY;
  x[kHistoryIds[0]] /= kRepetitionPenalty; /* it is positive */

  /* Section 2: the order. */
  int rank[kVocab], by_rank[kVocab];
  for (int id = 0; id < kVocab; ++id) {
    rank[id] = 0;
    for (int other = 0; other < kVocab; ++other) rank[id] += is_before(x, other, id);
    by_rank[rank[id]] = id;
  }

  /* Sections 3 and 4: weights. */
  const float c = 1.44269502162933349609375f / kTemperature;
  uint64_t weight[kVocab];
  for (int id = 0; id < kVocab; ++id) weight[id] = exp2_fixed((x[id] - x[by_rank[0]]) * c);

  /* Section 5: which are kept. The base of top_p is the top k. top_p = 3/4, and 2^42 * min_p is a whole number. */
  uint64_t base_mass = 0, before = 0, kept_mass = 0;
  for (int r = 0; r < kTopK; ++r) base_mass += weight[by_rank[r]];
  const uint64_t need = (base_mass * 3 + 3) / 4;
  const uint64_t min_weight = (uint64_t)(kMinP * 4398046511104.0f);
  int kept[kVocab];
  for (int r = 0; r < kVocab; ++r) {
    const int id = by_rank[r];
    kept[id] = r < kTopK && weight[id] >= min_weight && before < need;
    if (kept[id]) kept_mass += weight[id];
    before += weight[id];
  }

  /* Sections 6 and 7: the random number and the token. */
  const uint64_t random = random_number(kSeed, kStream, kOffset);
  const uint64_t target = multiply_high(random, kept_mass);
  uint64_t running = 0;
  int token = -1;
  printf("id  logit  effective  rank         weight  kept         running\n");
  for (int id = 0; id < kVocab; ++id) {
    if (kept[id]) running += weight[id];
    if (token < 0 && kept[id] && running > target) token = id;
    printf("%2d  %5g  %9g  %4d  %13" PRIu64 "  %4s  %14" PRIu64 "\n", id, kLogits[id], x[id], rank[id], weight[id],
           kept[id] ? "yes" : "no", running);
  }
  printf("S = %" PRIu64 ", need = %" PRIu64 ", S' = %" PRIu64 "\n", base_mass, need, kept_mass);
  printf("R = 0x%016" PRIx64 ", target = %" PRIu64 ", token = %d\n", random, target, token);

  /* The library. */
  TokendrawSampler* sampler;
  if (tokendraw_create_sampler(NULL, &sampler) != TOKENDRAW_OK) return 1;
  int32_t drawn = -1;
  uint64_t drawn_mass = 0;
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = kLogits;
  batch.rows = 1;
  batch.vocab = kVocab;
  batch.mask = kMask;
  batch.history_ids = kHistoryIds;
  batch.history_offsets = kHistoryOffsets;
  batch.history_entries = 1;
  batch.repetition_penalty = kRepetitionPenalty;
  batch.temperature = kTemperature;
  batch.top_k = kTopK;
  batch.top_p = kTopP;
  batch.min_p = kMinP;
  batch.seed = kSeed;
  batch.stream = kStream;
  batch.offset = kOffset;
  batch.tokens = &drawn;
  batch.kept_mass = &drawn_mass;
  const TokendrawStatus status = tokendraw_sample_host(sampler, &batch);
  if (status != TOKENDRAW_OK) fprintf(stderr, "%s\n", tokendraw_last_error_message());
  tokendraw_destroy_sampler(sampler);
  return status == TOKENDRAW_OK && drawn == token && drawn_mass == kept_mass ? 0 : 1;
}
