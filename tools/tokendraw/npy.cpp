// SPDX-License-Identifier: Apache-2.0
#include "npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <streambuf>
#include <string_view>
#include <vector>

namespace tokendraw::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little endian and are used as they are");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeaderBytes = 1 << 20;
constexpr size_t kFirstChunkBytes = size_t{1} << 24;

// As much as there is, at most `bytes`.
size_t read_up_to(std::istream& stream, std::byte* out, size_t bytes) {
  constexpr size_t kMost = std::numeric_limits<std::streamsize>::max();
  stream.read(reinterpret_cast<char*>(out), static_cast<std::streamsize>(std::min(bytes, kMost)));
  if (stream.bad()) throw NpyError("reading failed");
  return static_cast<size_t>(stream.gcount());
}

void read_header_bytes(std::istream& stream, std::byte* out, size_t bytes) {
  if (read_up_to(stream, out, bytes) != bytes) throw NpyError("truncated: the header ends too early");
}

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};

// The header is a Python dictionary literal of three known keys; no other Python is understood.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<uint64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = parse_string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = parse_descr();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = parse_bool();
      } else if (key == "shape" && !shape) {
        shape = parse_shape();
      } else {
        fail("a key that is unknown or stands twice");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (position_ != text_.size()) fail("text behind the dictionary");
    if (!descr || !fortran_order || !shape) fail("'descr', 'fortran_order' or 'shape' is missing");
    return {*descr, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw NpyError("malformed header: " + std::string(what) + " (at byte " + std::to_string(position_) + ")");
  }

  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n' ||
                                        text_[position_] == '\t' || text_[position_] == '\r')) {
      ++position_;
    }
  }

  bool accept(char c) {
    skip_space();
    if (position_ == text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail((std::string("expected '") + c + "'").c_str());
  }

  std::string parse_string() {
    skip_space();
    const char quote = position_ < text_.size() ? text_[position_] : '\0';
    if (quote != '\'' && quote != '"') fail("expected a string");
    const size_t end = text_.find(quote, position_ + 1);
    if (end == std::string_view::npos) fail("a string without an end");
    std::string value(text_.substr(position_ + 1, end - position_ - 1));
    position_ = end + 1;
    return value;
  }

  std::string parse_descr() {
    skip_space();
    if (position_ < text_.size() && text_[position_] == '[') {
      throw NpyError("structured dtypes are not supported: expected float32, float16 or uint16");
    }
    return parse_string();
  }

  bool parse_bool() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(position_, word.size()) == word) {
        position_ += word.size();
        return value;
      }
    }
    fail("expected True or False");
  }

  std::vector<uint64_t> parse_shape() {
    std::vector<uint64_t> shape;
    expect('(');
    while (!accept(')')) {
      skip_space();
      uint64_t length = 0;
      const char* begin = text_.data() + position_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), length);
      if (error == std::errc::result_out_of_range) throw NpyError("the shape is too large");
      if (error != std::errc()) fail("expected a length");
      position_ += static_cast<size_t>(end - begin);
      shape.push_back(length);
      if (!accept(',')) {
        if (shape.size() == 1) fail("expected ','");  // (5) is a number in Python, (5,) a tuple
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  size_t position_ = 0;
};

// For a message: nothing but printable ASCII, and not much of it.
std::string shown(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 40)) result += c >= ' ' && c <= '~' ? c : '?';
  return "'" + result + (text.size() > 40 ? "...'" : "'");
}

NpyElement element_of(const std::string& descr) {
  if (descr == "<f4") return NpyElement::kFloat32;
  if (descr == "<f2") return NpyElement::kFloat16;
  if (descr == "<u2") return NpyElement::kUint16;
  if (descr == "<V2" || descr == "|V2") return NpyElement::kOpaque16;
  if (!descr.empty() && descr[0] == '>') {
    throw NpyError("the data are big endian (" + shown(descr) + "): write them as little endian");
  }
  throw NpyError("dtype " + shown(descr) + " is not supported: expected float32 '<f4', float16 '<f2' or uint16 '<u2'");
}

Header read_header(std::istream& stream) {
  std::array<std::byte, 8> start;
  const size_t got = read_up_to(stream, start.data(), start.size());
  if (got == 0) throw NpyError("the file is empty");
  const size_t compared = std::min(got, kMagic.size());
  if (std::memcmp(start.data(), kMagic.data(), compared) != 0)
    throw NpyError("not a .npy file: it does not begin with \\x93NUMPY");
  if (got != start.size()) throw NpyError("truncated: the header ends too early");
  const auto major = std::to_integer<unsigned>(start[6]);
  if (major < 1 || major > 3) {
    throw NpyError("version " + std::to_string(major) + " of the .npy format is unknown: expected 1, 2 or 3");
  }
  std::array<std::byte, 4> length_bytes{};
  read_header_bytes(stream, length_bytes.data(), major == 1 ? 2 : 4);
  uint32_t length = 0;
  std::memcpy(&length, length_bytes.data(), sizeof length);
  if (length > kMaxHeaderBytes) throw NpyError("the header is longer than 1 MiB");
  std::string text(length, '\0');
  read_header_bytes(stream, reinterpret_cast<std::byte*>(text.data()), text.size());
  return HeaderParser(text).parse();
}

// Reads exactly `bytes`, in an array that grows as they come.
std::unique_ptr<std::byte[]> read_data(std::istream& stream, size_t bytes) {
  size_t capacity = std::min(bytes, kFirstChunkBytes);
  auto data = std::make_unique_for_overwrite<std::byte[]>(capacity);
  size_t filled = 0;
  while (true) {
    const size_t got = read_up_to(stream, data.get() + filled, capacity - filled);
    filled += got;
    if (filled == bytes) return data;
    if (filled < capacity) {
      throw NpyError("truncated: the shape needs " + std::to_string(bytes) + " bytes of data, the file has " +
                     std::to_string(filled));
    }
    capacity = bytes - capacity < capacity ? bytes : capacity * 2;
    auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    std::memcpy(larger.get(), data.get(), filled);
    data = std::move(larger);
  }
}

class MemoryBuffer : public std::streambuf {
 public:
  explicit MemoryBuffer(std::span<const std::byte> bytes) {
    char* begin = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));  // streambuf has no const form
    setg(begin, begin, begin + bytes.size());
  }
};

}  // namespace

const char* npy_element_name(NpyElement element) {
  switch (element) {
    case NpyElement::kFloat32:
      return "float32";
    case NpyElement::kFloat16:
      return "float16";
    case NpyElement::kUint16:
      return "uint16";
    case NpyElement::kOpaque16:
      return "opaque 2-byte values";
  }
  return "unknown";
}

NpyMatrix read_npy(std::istream& stream) {
  const Header header = read_header(stream);
  NpyMatrix matrix;
  matrix.element = element_of(header.descr);
  if (header.fortran_order) throw NpyError("the array is in Fortran order: write it with numpy.ascontiguousarray");
  if (header.shape.empty() || header.shape.size() > 2) {
    throw NpyError("the array has " + std::to_string(header.shape.size()) +
                   " dimensions: expected a shape (vocab) or (rows, vocab)");
  }
  matrix.one_dimensional = header.shape.size() == 1;
  const uint64_t rows = matrix.one_dimensional ? 1 : header.shape[0];
  const uint64_t columns = header.shape.back();
  if (rows == 0 || columns == 0) throw NpyError("the array has a dimension of length 0");
  const uint64_t element_bytes = matrix.element == NpyElement::kFloat32 ? 4 : 2;
  constexpr uint64_t kMostBytes = std::numeric_limits<int64_t>::max();
  if (columns > kMostBytes / element_bytes || rows > kMostBytes / element_bytes / columns) {
    throw NpyError("the shape is too large");
  }
  matrix.rows = static_cast<int64_t>(rows);
  matrix.columns = static_cast<int64_t>(columns);
  matrix.data = read_data(stream, rows * columns * element_bytes);
  std::byte extra;
  if (read_up_to(stream, &extra, 1) != 0) throw NpyError("bytes follow behind the array's data");
  return matrix;
}

NpyMatrix read_npy(std::span<const std::byte> bytes) {
  MemoryBuffer buffer(bytes);
  std::istream stream(&buffer);
  return read_npy(stream);
}

}  // namespace tokendraw::cli
