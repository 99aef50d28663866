// SPDX-License-Identifier: Apache-2.0
#include "output_format.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace tokendraw::cli {

nlohmann::ordered_json float_as_json(float value) {
  if (!std::isfinite(value)) return nullptr;
  // The double nearest to the float's shortest decimal form prints as that form.
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

}  // namespace tokendraw::cli
