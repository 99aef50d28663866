// SPDX-License-Identifier: Apache-2.0
#include "bench_data.h"

#include <fmt/format.h>

#include "case_random.h"
#include "cli_error.h"
#include "row_kinds.h"
#include "stored_logit.h"

namespace tokendraw::cli {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

BenchRows::BenchRows(int64_t rows, int32_t vocab, TokendrawDtype dtype)
    : rows_(rows),
      vocab_(vocab),
      dtype_(dtype),
      storage_(static_cast<size_t>(rows * vocab) * cases::dtype_bytes(dtype) + kAlignment),
      offset_((kAlignment - reinterpret_cast<uintptr_t>(storage_.data()) % kAlignment) % kAlignment) {}

std::byte* BenchRows::row(int64_t index) {
  return storage_.data() + offset_ + static_cast<size_t>(index * vocab_) * cases::dtype_bytes(dtype_);
}

const std::byte* BenchRows::row(int64_t index) const { return const_cast<BenchRows*>(this)->row(index); }

BenchRows make_synthetic_rows(const std::string& name, int64_t rows, int32_t vocab, TokendrawDtype dtype) {
  const auto kind = cases::find_row_kind(name);
  if (!kind) throw CliError(kExitUsage, fmt::format("--data: '{}' is no kind of row", name));
  BenchRows result(rows, vocab, dtype);
  for (int64_t r = 0; r < rows; ++r) {
    cases::generate_row(*kind, vocab, dtype, cases::hash_counter(0x62656e6368, static_cast<uint64_t>(r)),
                        result.row(r));
  }
  return result;
}

BenchRows make_file_rows(const LogitsFile& file, TokendrawDtype dtype) {
  BenchRows result(file.matrix.rows, file.vocab, dtype);
  for (int64_t r = 0; r < file.matrix.rows; ++r) {
    for (int64_t id = 0; id < file.vocab; ++id) {
      const float x = cases::load_logit(file.row(r), id, file.dtype);
      cases::store_logit_bits(result.row(r), id, dtype, cases::encode_logit(x, dtype));
    }
  }
  return result;
}

}  // namespace tokendraw::cli
