// SPDX-License-Identifier: Apache-2.0
// The .npy reader: every form that it accepts, and every way in which a file can be wrong.
#include "npy.h"

#include <gtest/gtest.h>

#include <span>
#include <sstream>

#include "npy_file.h"

namespace tokendraw::cli_test {
namespace {

using cli::NpyElement;
using cli::NpyError;
using cli::NpyMatrix;

NpyMatrix read(const std::string& file) { return cli::read_npy(std::as_bytes(std::span(file))); }

// The message of the error, "" if there is none.
std::string error_of(const std::string& file) {
  try {
    read(file);
    return "";
  } catch (const NpyError& error) {
    return error.what();
  }
}

void expect_error(const std::string& file, const std::string& text) {
  const std::string error = error_of(file);
  EXPECT_NE(error.find(text), std::string::npos) << "expected \"" << text << "\", got \"" << error << "\"";
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

const std::vector<float> kSix = {1.0f, -2.0f, 3.5f, 4.0f, 5.0f, -6.25f};

TEST(Npy, ReadsEveryVersion) {
  for (const int version : {1, 2, 3}) {
    const NpyMatrix matrix = read(npy("<f4", "(2, 3)", bytes_of(kSix), version));
    EXPECT_EQ(matrix.element, NpyElement::kFloat32);
    EXPECT_EQ(matrix.rows, 2);
    EXPECT_EQ(matrix.columns, 3);
    EXPECT_FALSE(matrix.one_dimensional);
    EXPECT_EQ(std::memcmp(matrix.data.get(), kSix.data(), 24), 0);
  }
}

TEST(Npy, ReadsOneRow) {
  const NpyMatrix matrix = read(npy_f32("(6,)", kSix));
  EXPECT_EQ(matrix.rows, 1);
  EXPECT_EQ(matrix.columns, 6);
  EXPECT_TRUE(matrix.one_dimensional);
}

TEST(Npy, ReadsEveryElement) {
  const std::string two = bytes_of(std::vector<uint16_t>{0x3f80, 0xbf80});
  EXPECT_EQ(read(npy("<f2", "(2,)", two)).element, NpyElement::kFloat16);
  EXPECT_EQ(read(npy("<u2", "(2,)", two)).element, NpyElement::kUint16);
  EXPECT_EQ(read(npy("|V2", "(2,)", two)).element, NpyElement::kOpaque16);
  EXPECT_EQ(read(npy("<V2", "(2,)", two)).element, NpyElement::kOpaque16);
}

TEST(Npy, ReadsAHeaderOfAnotherWriter) {
  const std::string header = "{\"shape\":(2,3),\t\"fortran_order\":False,\"descr\":\"<f4\"}";
  EXPECT_EQ(read(npy_with_header(header, bytes_of(kSix))).columns, 3);
}

TEST(Npy, ReadsAStream) {
  std::istringstream stream(npy_f32("(3, 2)", kSix));
  EXPECT_EQ(cli::read_npy(stream).rows, 3);
}

// More than one chunk of the reader, so that its array grows.
TEST(Npy, ReadsALargeFile) {
  std::vector<float> values(size_t{12} << 20);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000);
  const NpyMatrix matrix = read(npy_f32("(12, 1048576)", values));
  EXPECT_EQ(std::memcmp(matrix.data.get(), values.data(), values.size() * sizeof(float)), 0);
}

TEST(Npy, RefusesEveryTruncation) {
  const std::string file = npy_f32("(2, 3)", kSix);
  EXPECT_EQ(error_of(""), "the file is empty");
  for (size_t length = 1; length < file.size(); ++length) {
    const std::string error = error_of(file.substr(0, length));
    EXPECT_NE(error.find("truncated"), std::string::npos) << length << ": " << error;
  }
}

TEST(Npy, RefusesTrailingBytes) {
  expect_error(npy_f32("(2, 3)", kSix) + "x", "bytes follow");
  expect_error(npy_f32("(5,)", kSix), "bytes follow");
}

TEST(Npy, RefusesOtherFiles) {
  expect_error("PK\x03\x04 an archive", "not a .npy file");
  expect_error("\x93NUMPX\x01\x00", "not a .npy file");
  expect_error("x", "not a .npy file");
  expect_error(npy("<f4", "(6,)", bytes_of(kSix), 4), "version 4");
  std::string version_zero = npy_f32("(6,)", kSix);
  version_zero[6] = '\0';
  expect_error(version_zero, "version 0");
}

TEST(Npy, RefusesOtherElements) {
  expect_error(npy(">f4", "(6,)", bytes_of(kSix)), "big endian");
  expect_error(npy(">u2", "(6,)", bytes_of(kSix)), "big endian");
  for (const char* descr : {"<f8", "<i4", "<u4", "<i2", "|b1", "<c8", "<U4", "f4", "=f4", ""}) {
    expect_error(npy(descr, "(6,)", bytes_of(kSix)), "is not supported");
  }
  expect_error(npy_with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", bytes_of(kSix)),
               "structured");
  // Nothing of the file reaches the terminal unchecked.
  expect_error(npy("\x1b[31m", "(6,)", bytes_of(kSix)), "'?[31m'");
}

TEST(Npy, RefusesFortranOrder) {
  expect_error(npy_with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", bytes_of(kSix)),
               "Fortran order");
}

TEST(Npy, RefusesOtherShapes) {
  expect_error(npy_f32("()", {1.0f}), "0 dimensions");
  expect_error(npy_f32("(1, 2, 3)", kSix), "3 dimensions");
  expect_error(npy_f32("(0,)", {}), "length 0");
  expect_error(npy_f32("(0, 3)", {}), "length 0");
  expect_error(npy_f32("(3, 0)", {}), "length 0");
}

TEST(Npy, RefusesShapesThatOverflow) {
  expect_error(npy_f32("(18446744073709551616,)", kSix), "too large");  // 2^64
  expect_error(npy_f32("(18446744073709551615,)", kSix), "too large");
  expect_error(npy_f32("(4294967296, 4294967296)", kSix), "too large");
  expect_error(npy_f32("(2305843009213693952,)", kSix), "too large");    // 2^61 floats are 2^63 bytes
  expect_error(npy_f32("(9223372036854775808, 2)", kSix), "too large");  // wraps to 0 in 64 bits
}

// The memory that a header claims is not taken before the data are there.
TEST(Npy, RefusesLargeClaimsAtOnce) {
  expect_error(npy_f32("(1048576, 1048576)", kSix), "truncated: the shape needs 4398046511104 bytes");
  expect_error(npy_f32("(2305843009213693951,)", kSix), "truncated");
}

TEST(Npy, RefusesMalformedHeaders) {
  const std::string data = bytes_of(kSix);
  for (const char* header : {
           "",
           "{",
           "}",
           "[]",
           "{'descr': '<f4'}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
           "{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}",
           "{'descr': '<f4, 'fortran_order': False, 'shape': (6,)}",
           "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}",
           "{'descr' '<f4', 'fortran_order': False, 'shape': (6,)}",
           "{descr: '<f4', 'fortran_order': False, 'shape': (6,)}",
           "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x",
           "{'descr': '<f4",
       }) {
    expect_error(npy_with_header(header, data), "malformed header");
  }
}

TEST(Npy, RefusesAHeaderWithoutEnd) {
  std::string file = npy("<f4", "(6,)", bytes_of(kSix), 2);
  file[11] = '\x7f';  // the header's length: two thousand millions
  expect_error(file, "longer than 1 MiB");
}

}  // namespace
}  // namespace tokendraw::cli_test
