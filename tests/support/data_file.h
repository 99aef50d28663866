// SPDX-License-Identifier: Apache-2.0
// Where the data of data/ lies: in the folder that the environment variable TOKENDRAW_TEST_DATA names, or, without it,
// in the source tree that the tests were built from.
#pragma once

#include <cstdlib>
#include <string>

namespace tokendraw::test {

inline std::string data_file(const std::string& name) {
  const char* folder = std::getenv("TOKENDRAW_TEST_DATA");
  return std::string(folder != nullptr ? folder : TOKENDRAW_TEST_DATA) + "/" + name;
}

}  // namespace tokendraw::test
