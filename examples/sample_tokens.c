/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest use from C: two rows of logits, one token each. The README shows this program. */

#include <stdio.h>
#include <tokendraw/tokendraw.h>

int main(void) {
  const float logits[2][5] = {{1.0f, 3.0f, 2.0f, 0.5f, -1.0f}, {0.0f, 1.0f, 4.0f, 1.0f, 3.5f}};
  int32_t tokens[2];
  TokendrawSampler* sampler;
  if (tokendraw_create_sampler(NULL, &sampler) != TOKENDRAW_OK) return 1;

  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits;
  batch.rows = 2;
  batch.vocab = 5;
  batch.temperature = 0.8f;
  batch.top_k = 3;
  batch.top_p = 0.9f;
  batch.seed = 42; /* one seed for the batch: the rows are told apart by their number */
  batch.tokens = tokens;
  if (tokendraw_sample_host(sampler, &batch) != TOKENDRAW_OK) {
    fprintf(stderr, "%s\n", tokendraw_last_error_message());
    return 1;
  }
  printf("tokens: %d %d\n", (int)tokens[0], (int)tokens[1]);
  tokendraw_destroy_sampler(sampler);
  return 0;
}
