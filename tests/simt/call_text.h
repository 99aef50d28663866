// SPDX-License-Identifier: Apache-2.0
// How reports name a call of a device function. Formatters and not functions that return strings: a lane that fails is
// abandoned with all that is on its stack, so a temporary string there would leak.
#pragma once

#include <fmt/format.h>

#include <cstring>

#include "machine.h"

namespace tokendraw::gpu::platform::simt {

struct Call {
  Meeting meeting;
  Site site;
};

constexpr const char* name_of(Meeting meeting) {
  switch (meeting) {
    case Meeting::kNone:
      return "nothing";
    case Meeting::kBlockBarrier:
      return "block_barrier";
    case Meeting::kBlockAny:
      return "block_any";
    case Meeting::kBlockCount:
      return "block_count";
    case Meeting::kClusterBarrier:
      return "cluster_barrier";
    case Meeting::kWarpBarrier:
      return "warp_barrier";
    case Meeting::kShuffle:
      return "warp_shuffle";
    case Meeting::kShuffleUp:
      return "warp_shuffle_up";
    case Meeting::kShuffleXor:
      return "warp_shuffle_xor";
    case Meeting::kBallot:
      return "warp_ballot";
    case Meeting::kAdd:
      return "warp_add";
    case Meeting::kLargest:
      return "warp_largest";
    case Meeting::kInbox:
      return "wait_for_inbox";
  }
  return "?";
}

}  // namespace tokendraw::gpu::platform::simt

template <>
struct fmt::formatter<tokendraw::gpu::platform::simt::Site> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <typename FormatContext>
  auto format(const tokendraw::gpu::platform::simt::Site& site, FormatContext& context) const {
    const char* slash = std::strrchr(site.file, '/');
    return fmt::format_to(context.out(), "{}:{}", slash == nullptr ? site.file : slash + 1, site.line);
  }
};

template <>
struct fmt::formatter<tokendraw::gpu::platform::simt::Call> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <typename FormatContext>
  auto format(const tokendraw::gpu::platform::simt::Call& call, FormatContext& context) const {
    return fmt::format_to(context.out(), "{} at {}", name_of(call.meeting), call.site);
  }
};
