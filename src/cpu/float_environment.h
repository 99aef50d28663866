// SPDX-License-Identifier: Apache-2.0
// The contract's arithmetic rounds to nearest even and keeps subnormals. A caller's thread may be set otherwise (other
// libraries switch to flush-to-zero), so a call sets what it needs and restores what it found.
#pragma once

#include <cfenv>

namespace tokendraw::cpu {

class FloatEnvironment {
 public:
  FloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&saved_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  std::fenv_t saved_;
};

}  // namespace tokendraw::cpu
