// SPDX-License-Identifier: Apache-2.0
// The switch between fibers, in a header since it is what the emulator does most.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include "fiber.h"

#if SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Each return after a switch is one that the processor did not foresee, so there are to be few.
#define SIMT_INLINE __attribute__((always_inline)) inline

namespace tokendraw::gpu::platform::simt {

// The other side of a switch, at the place where `self` goes on.
SIMT_INLINE void arrive(boost::context::detail::transfer_t came, [[maybe_unused]] void* fake_stack) {
  auto* from = static_cast<Context*>(came.data);
  from->place = came.fctx;
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &from->stack_low, &from->stack_bytes);
#endif
}

// Leaves `from` and goes on at `to`; returns when someone switches to `from`.
SIMT_INLINE void switch_context(Context* from, Context* to) {
#if SIMT_ASAN
  __sanitizer_start_switch_fiber(&from->fake_stack, to->stack_low, to->stack_bytes);
#endif
  arrive(boost::context::detail::jump_fcontext(to->place, from), from->fake_stack);
}

// The same where nobody will ever come back to `from`.
SIMT_INLINE void leave_context(Context* from, Context* to) {
#if SIMT_ASAN
  __sanitizer_start_switch_fiber(nullptr, to->stack_low, to->stack_bytes);
#endif
  boost::context::detail::jump_fcontext(to->place, from);
}

}  // namespace tokendraw::gpu::platform::simt
