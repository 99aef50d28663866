// SPDX-License-Identifier: Apache-2.0
// Compiled with -fno-exceptions: the result family exists and works, the throwing one does not exist.
#include <cstdio>
#include <tokendraw/tokendraw.hpp>
#include <vector>

static_assert(TOKENDRAW_CPP_EXCEPTIONS == 0);

template <class T>
concept Throwing = requires(T& value) {
  value.info();
}
|| std::is_default_constructible_v<T>;
static_assert(!Throwing<tokendraw::Sampler>);
template <class T>
concept HasValue = requires(T& value) {
  value.value();
};
static_assert(!HasValue<tokendraw::Result<int>> && !HasValue<tokendraw::Result<void>>);

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

}  // namespace

int main() {
  auto sampler = tokendraw::Sampler::try_create({.backend = tokendraw::Backend::kCpu, .threads = 1});
  if (!sampler) return 1;
  expect(sampler->try_info().ok(), "info");

  const std::vector<float> logits = {0, 1, 9, 1, 7, 1, 1, 0};
  std::vector<tokendraw::SamplingParams> requests(2);
  requests[0].temperature = requests[1].temperature = 0;
  const auto tokens = sampler->try_sample(logits, requests);
  expect(tokens && *tokens == std::vector<int32_t>{2, 0}, "tokens");
  const auto rows = sampler->try_sample_rows(logits, requests);
  expect(rows && (*rows)[0].token == 2 && (*rows)[1].kept == 1, "rows");

  std::vector<int32_t> output(2);
  tokendraw::Batch batch = {.logits = logits, .temperature = 0.0f, .tokens = output};
  const auto bytes = sampler->try_workspace_bytes(batch);
  std::vector<std::byte> workspace(bytes ? *bytes : 0);
  expect(sampler->try_sample(batch, workspace).ok() && output[0] == 2, "batch");
  expect(sampler->try_describe_plan(batch).ok(), "plan");
  batch.temperature = -1.0f;
  const auto refused = sampler->try_sample(batch);
  expect(refused.status() == TOKENDRAW_INVALID_TEMPERATURE && refused.error().what()[0] != '\0', "refusal");
  expect(tokendraw::try_list_backends().ok(), "backends");
  expect(!tokendraw::try_device_info(tokendraw::Backend::kCpu, 7), "no such device");
  return failures == 0 ? 0 : 1;
}
