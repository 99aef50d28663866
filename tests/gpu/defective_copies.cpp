// SPDX-License-Identifier: Apache-2.0
// The emulated backend with a defect, which the self-test must find: what is copied to the host has one bit wrong.
// Linked with --wrap=tokendraw_backend_table.
#include "backend/table.h"

using tokendraw::backend::CopyKind;
using tokendraw::backend::Device;
using tokendraw::backend::Failure;
using tokendraw::backend::Table;

extern "C" const Table* __real_tokendraw_backend_table();

namespace {

Failure copy(Device* device, void* to, const void* from, size_t bytes, CopyKind kind, void* stream) {
  const Table* real = __real_tokendraw_backend_table();
  Failure failure = real->copy(device, to, from, bytes, kind, stream);
  if (!failure && kind == CopyKind::kToHost) failure = real->synchronize(device, stream);
  if (!failure && kind == CopyKind::kToHost) *static_cast<unsigned char*>(to) ^= 1;
  return failure;
}

}  // namespace

extern "C" const Table* __wrap_tokendraw_backend_table() {
  static const Table table = [] {
    Table wrapped = *__real_tokendraw_backend_table();
    wrapped.copy = copy;
    return wrapped;
  }();
  return &table;
}
