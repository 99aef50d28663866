/* SPDX-License-Identifier: Apache-2.0 */
/* The public header compiles as C99, pedantic, and serves a C program from end to end. */
#include <stdio.h>
#include <stdlib.h>
#include <tokendraw/tokendraw.h>

#define CHECK(condition)                                                                          \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, tokendraw_last_error_message()); \
      return EXIT_FAILURE;                                                                        \
    }                                                                                             \
  } while (0)

/* C99 has no static assertion: an array of negative size does not compile. The enums have one size in C and C++. */
typedef char tokendraw_test_status_is_an_int[sizeof(TokendrawStatus) == sizeof(int32_t) ? 1 : -1];
typedef char tokendraw_test_dtype_is_an_int[sizeof(TokendrawDtype) == sizeof(int32_t) ? 1 : -1];
typedef char tokendraw_test_base_is_an_int[sizeof(TokendrawTopPBase) == sizeof(int32_t) ? 1 : -1];

int main(void) {
  static const float logits[2][4] = {{1.0f, 9.0f, 3.0f, 2.0f}, {7.0f, 7.0f, 7.5f, -1.0f}};
  int32_t tokens[2] = {-9, -9};
  TokendrawSampler* sampler = NULL;
  TokendrawSamplerOptions options;
  TokendrawBatch batch;
  size_t bytes = 0;
  void* workspace = NULL;

  CHECK(tokendraw_version() ==
        TOKENDRAW_VERSION_MAJOR * 10000u + TOKENDRAW_VERSION_MINOR * 100u + TOKENDRAW_VERSION_PATCH);
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CPU;
  options.threads = 1;
  CHECK(tokendraw_create_sampler(&options, &sampler) == TOKENDRAW_OK);

  tokendraw_init_batch(&batch);
  batch.logits = logits;
  batch.rows = 2;
  batch.vocab = 4;
  batch.temperature = 0.0f;
  batch.tokens = tokens;
  CHECK(tokendraw_get_workspace_bytes(sampler, &batch, &bytes) == TOKENDRAW_OK);
  workspace = malloc(bytes > 0 ? bytes : 1);
  CHECK(workspace != NULL);
  CHECK(tokendraw_sample(sampler, &batch, workspace, bytes, NULL) == TOKENDRAW_OK);
  CHECK(tokens[0] == 1 && tokens[1] == 2);

  batch.vocab = 0;
  CHECK(tokendraw_sample_host(sampler, &batch) == TOKENDRAW_INVALID_VOCAB);
  free(workspace);
  tokendraw_destroy_sampler(sampler);
  return EXIT_SUCCESS;
}
