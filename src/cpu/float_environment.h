// SPDX-License-Identifier: Apache-2.0
// The contract's arithmetic rounds to nearest even and keeps subnormals. A caller's thread may be set otherwise (other
// libraries switch to flush-to-zero), so a call sets what it needs and restores what it found.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace tokendraw::cpu {

class FloatEnvironment {
 public:
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

#if defined(__SSE__)
  // Only MXCSR counts: nothing here uses the x87 unit, whose state takes much longer to save.
  FloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~FloatEnvironment() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kDefault = 0x1f80;  // to nearest, subnormals kept, exceptions masked
  unsigned saved_;
#else
  FloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
#endif
};

}  // namespace tokendraw::cpu
