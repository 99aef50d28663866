// SPDX-License-Identifier: Apache-2.0
#include "support/cuda_batch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>

namespace tokendraw::test {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr unsigned char kGuard = 0xff;
constexpr unsigned char kGarbage = 0xe5;
constexpr size_t kLargeBytes = size_t{64} << 20;
constexpr size_t kLogitsAlignment = 64;

size_t align_up(size_t bytes, size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

size_t size_of(int64_t count, size_t element) { return static_cast<size_t>(count) * element; }

bool wants_own_allocations() {
  const char* value = std::getenv("TOKENDRAW_TEST_OWN_ALLOCATIONS");
  return value != nullptr && value[0] == '1';
}

}  // namespace

CudaBatch::CudaBatch(const TokendrawSampler* sampler, const TokendrawBatch& host, DeviceBlock* block)
    : batch(host), host_(host), block_(block != nullptr ? block : &own_block_), all_apart_(wants_own_allocations()) {
  batch.logits_memory = batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  const int64_t logits_rows = host.logits_rows != 0 ? host.logits_rows : host.rows;
  const int64_t row_stride = host.row_stride != 0 ? host.row_stride : host.vocab;
  const size_t element = host.dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2;
  add_rows(batch.logits, element, logits_rows, host.vocab, row_stride, host.row_index != nullptr);
  add_input(batch.row_index, host.rows);
  add_input(batch.temperature_per_row, host.rows);
  add_input(batch.top_k_per_row, host.rows);
  add_input(batch.top_p_per_row, host.rows);
  add_input(batch.min_p_per_row, host.rows);
  add_input(batch.seed_per_row, host.rows);
  add_input(batch.stream_per_row, host.rows);
  add_input(batch.offset_per_row, host.rows);
  add_input(batch.random_u64, host.rows);
  add_input(batch.random_f32, host.rows);
  add_rows(batch.mask, sizeof *batch.mask, host.rows, (int64_t{host.vocab} + 31) / 32, host.mask_row_stride, false);
  add_rows(batch.bias, sizeof *batch.bias, host.rows, host.vocab, host.bias_row_stride, false);
  add_input(batch.bias_ids, host.bias_entries);
  add_input(batch.bias_values, host.bias_entries);
  add_input(batch.bias_offsets, host.rows + 1);
  add_input(batch.history_ids, host.history_entries);
  add_input(batch.history_counts, host.history_entries);
  add_input(batch.history_offsets, host.rows + 1);
  add_input(batch.repetition_penalty_per_row, host.rows);
  add_input(batch.frequency_penalty_per_row, host.rows);
  add_input(batch.presence_penalty_per_row, host.rows);
  add_output(batch.tokens, host.rows);
  add_output(batch.row_status, host.rows);
  add_output(batch.kept, host.rows);
  add_output(batch.kept_mass, host.rows);
  add_output(batch.logprob, host.rows);
  add_output(batch.rounds, host.rows);
  place_workspace(sampler);
  unsigned char* const start = block_->reserve(end_);
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (arrays_[i].in_block) arrays_[i].device = start + arrays_[i].offset;
    std::memcpy(reinterpret_cast<unsigned char*>(&batch) + arrays_[i].field, &arrays_[i].device, sizeof(void*));
  }
  if (!all_apart_) workspace = start + workspace_offset_;
}

size_t CudaBatch::place_of(const void* field) const {
  return reinterpret_cast<uintptr_t>(field) - reinterpret_cast<uintptr_t>(&batch);
}

template <typename T>
void CudaBatch::add_input(const T*& field, int64_t count) {
  add_rows(field, sizeof(T), 1, count, count, false);
}

template <typename T>
void CudaBatch::add_output(T*& field, int64_t count) {
  if (field == nullptr) return;
  Array array;
  array.host = field;
  array.bytes = size_of(count, sizeof(T));
  array.output = true;
  array.rows = 1;
  array.row_bytes = array.pitch = array.bytes;
  array.field = place_of(&field);
  place(array, sizeof(T), sizeof(T));
}

template <typename T>
void CudaBatch::add_rows(const T*& field, size_t element, int64_t rows, int64_t length, int64_t stride, bool indexed) {
  if (field == nullptr || rows == 0) return;
  Array array;
  array.field = place_of(&field);
  array.host = const_cast<T*>(field);  // never written: it is no output
  array.rows = stride == 0 ? 1 : rows;
  array.row_bytes = size_of(length, element);
  array.pitch = size_of(stride, element);
  array.bytes = size_of(array.rows - 1, 1) * array.pitch + array.row_bytes;
  array.indexed = indexed;
  const bool logits = array.field == place_of(&batch.logits);
  const size_t lead = logits ? reinterpret_cast<uintptr_t>(field) % kLogitsAlignment : element;
  place(array, logits ? kLogitsAlignment : element, lead);
}

// At `lead` bytes past a multiple of 64.
void CudaBatch::place(Array array, size_t alignment, size_t lead) {
  if (all_apart_ || array.bytes >= kLargeBytes) {
    array.in_block = false;
    const size_t own_lead = array.bytes >= kLargeBytes || alignment == kLogitsAlignment ? lead : 0;
    own_allocations_.emplace_back(std::max(array.bytes + own_lead, size_t{1}));
    array.device = own_allocations_.back().data() + own_lead;
  } else {
    array.offset = align_up(end_ + kGuardBytes, kLogitsAlignment) + lead;
    end_ = array.offset + array.bytes + kGuardBytes;
  }
  arrays_.push_back(array);
}

void CudaBatch::place_workspace(const TokendrawSampler* sampler) {
  TokendrawBatch on_device = host_;
  on_device.logits_memory = on_device.params_memory = TOKENDRAW_MEMORY_DEVICE;
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &on_device, &workspace_bytes), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  if (all_apart_) {
    own_allocations_.emplace_back(workspace_bytes + 1);
    workspace = own_allocations_.back().data() + 1;
    return;
  }
  workspace_offset_ = align_up(end_ + kGuardBytes, 2) + 1;
  end_ = workspace_offset_ + workspace_bytes + kGuardBytes;
}

void CudaBatch::copy_large(const Array& array, cudaStream_t stream) const {
  succeeded(cudaMemsetAsync(array.device, kGuard, array.bytes, stream));
  std::set<int64_t> chosen;
  for (int64_t r = 0; r < (array.indexed ? host_.rows : array.rows); ++r) {
    const int64_t row = array.indexed ? host_.row_index[r] : r;
    if (row >= 0 && row < array.rows) chosen.insert(row);
  }
  for (const int64_t row : chosen) {
    const size_t place = size_of(row, array.pitch);
    succeeded(cudaMemcpyAsync(array.device + place, static_cast<unsigned char*>(array.host) + place, array.row_bytes,
                              cudaMemcpyHostToDevice, stream));
  }
}

void CudaBatch::upload(cudaStream_t stream) {
  before_.assign(end_, kGuard);
  if (!all_apart_)
    std::fill_n(before_.begin() + static_cast<std::ptrdiff_t>(workspace_offset_), workspace_bytes, kGarbage);
  for (const Array& array : arrays_) {
    if (array.in_block) {
      std::memcpy(before_.data() + array.offset, array.host, array.bytes);
    } else if (array.bytes >= kLargeBytes) {
      copy_large(array, stream);
    } else {
      succeeded(cudaMemcpyAsync(array.device, array.host, array.bytes, cudaMemcpyHostToDevice, stream));
    }
  }
  if (end_ > 0) {
    succeeded(cudaMemcpyAsync(block_->data(), before_.data(), end_, cudaMemcpyHostToDevice, stream));
  }
  succeeded(cudaStreamSynchronize(stream));
}

void CudaBatch::download(cudaStream_t stream) {
  std::vector<unsigned char> after(end_);
  if (end_ > 0) succeeded(cudaMemcpyAsync(after.data(), block_->data(), end_, cudaMemcpyDeviceToHost, stream));
  for (const Array& array : arrays_) {
    if (array.in_block || !array.output) continue;
    succeeded(cudaMemcpyAsync(array.host, array.device, array.bytes, cudaMemcpyDeviceToHost, stream));
  }
  succeeded(cudaStreamSynchronize(stream));
  // What may have changed is made as it was; then nothing may differ.
  for (const Array& array : arrays_) {
    if (!array.in_block || !array.output) continue;
    std::memcpy(array.host, after.data() + array.offset, array.bytes);
    std::memcpy(after.data() + array.offset, before_.data() + array.offset, array.bytes);
  }
  if (!all_apart_) {
    std::memcpy(after.data() + workspace_offset_, before_.data() + workspace_offset_, workspace_bytes);
  }
  const auto [was, is] = std::mismatch(before_.begin(), before_.end(), after.begin());
  EXPECT_EQ(was, before_.end()) << "the call wrote to byte " << was - before_.begin() << " of " << end_
                                << ", in no output and not in its workspace of " << workspace_bytes << " bytes at "
                                << workspace_offset_;
}

void sample_on_device(TokendrawSampler* sampler, const TokendrawBatch& host) {
  struct Kept {
    DeviceBlock block;
    Stream stream;
  };
  // Never freed: the runtime may end before static objects do.
  static auto& kept_of_device = *new std::map<int32_t, std::unique_ptr<Kept>>;
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  EXPECT_EQ(tokendraw_get_sampler_info(sampler, &info), TOKENDRAW_OK);
  int before = 0;
  succeeded(cudaGetDevice(&before));
  succeeded(cudaSetDevice(info.device));
  std::unique_ptr<Kept>& kept = kept_of_device[info.device];
  if (kept == nullptr) kept = std::make_unique<Kept>();
  const Stream& stream = kept->stream;
  CudaBatch on_device(sampler, host, &kept->block);
  on_device.upload(stream.get());
  EXPECT_EQ(tokendraw_sample(sampler, &on_device.batch, on_device.workspace, on_device.workspace_bytes, stream.get()),
            TOKENDRAW_OK)
      << tokendraw_last_error_message();
  on_device.download(stream.get());
  succeeded(cudaSetDevice(before));
}

}  // namespace tokendraw::test
