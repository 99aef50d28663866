// SPDX-License-Identifier: Apache-2.0
// Under a sanitizer the tests run on less of the same data: it slows them tenfold and looks for something else.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TOKENDRAW_TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TOKENDRAW_TEST_SANITIZED 1
#endif

namespace tokendraw::test {

#if defined(TOKENDRAW_TEST_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// `full` as it is, or a tenth under a sanitizer.
constexpr int scaled(int full) { return kSanitized ? full / 10 : full; }

}  // namespace tokendraw::test
