// SPDX-License-Identifier: Apache-2.0
#include "tokens.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace tokendraw::cli {
namespace {

using nlohmann::json;

constexpr int64_t kMaxId = int64_t{1} << 21;
constexpr uint32_t kInvalid = 0xffffffffu;

struct Decoded {
  uint32_t character;  // kInvalid if the first byte begins no valid character
  size_t bytes;        // at least 1
};

// The first character of a non-empty text, by the rules of RFC 3629: shortest form, no surrogates, up to U+10FFFF.
Decoded decode_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return {kInvalid, 1};
  uint32_t character = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {kInvalid, 1};
    character = character << 6 | (byte(i) & 0x3f);
  }
  const uint32_t smallest = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  const bool surrogate = character >= 0xd800 && character <= 0xdfff;
  if (character < smallest || character > 0x10ffff || surrogate) return {kInvalid, 1};
  return {character, length};
}

bool is_printable_byte(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// Byte-level BPE writes every byte as a visible character: printable Latin-1 as itself, the rest as U+0100 onwards in
// order.
std::optional<unsigned char> byte_level_byte(uint32_t character) {
  static const auto kTable = [] {
    std::array<int16_t, 0x144> table;
    table.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte)
      table[is_printable_byte(byte) ? byte : next++] = static_cast<int16_t>(byte);
    return table;
  }();
  if (character >= kTable.size() || kTable[character] < 0) return std::nullopt;
  return static_cast<unsigned char>(kTable[character]);
}

// The bytes that a byte-level piece stands for; the piece itself if it is not written in that alphabet.
std::string decode_byte_level(const std::string& piece) {
  std::string bytes;
  for (std::string_view rest = piece; !rest.empty();) {
    const Decoded decoded = decode_utf8(rest);
    const std::optional<unsigned char> byte =
        decoded.character == kInvalid ? std::nullopt : byte_level_byte(decoded.character);
    if (!byte) return piece;
    bytes += static_cast<char>(*byte);
    rest.remove_prefix(decoded.bytes);
  }
  return bytes;
}

// Whether a decoder or pre-tokenizer, or one of a sequence of them, is of type ByteLevel.
bool names_byte_level(const json& component) {
  if (!component.is_object()) return false;
  const auto type = component.find("type");
  if (type != component.end() && *type == "ByteLevel") return true;
  for (const char* list : {"decoders", "pretokenizers"}) {
    const auto parts = component.find(list);
    if (parts == component.end() || !parts->is_array()) continue;
    for (const json& part : *parts) {
      const auto part_type = part.is_object() ? part.find("type") : part.end();
      if (part.is_object() && part_type != part.end() && *part_type == "ByteLevel") return true;
    }
  }
  return false;
}

int64_t id_of(const json& value) {
  if (!value.is_number_integer()) throw TokensError("a token's id is not an integer");
  if (value.is_number_unsigned() && value.get<uint64_t>() >= static_cast<uint64_t>(kMaxId)) {
    throw TokensError("a token's id is not in [0, 2^21)");
  }
  const auto id = value.get<int64_t>();
  if (id < 0) throw TokensError("a token's id is not in [0, 2^21)");
  return id;
}

const std::string& text_of(const json& value) {
  if (!value.is_string()) throw TokensError("a token's text is not a string");
  return value.get_ref<const std::string&>();
}

bool is_hidden(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
         (c >= 0xe0000 && c <= 0xe007f);
}

std::string hexadecimal(uint32_t value, int digits) {
  std::string text;
  for (int shift = 20; shift >= 0; shift -= 4) {
    const uint32_t digit = value >> shift & 15u;
    if (digit != 0 || !text.empty() || shift < 4 * digits) text += "0123456789abcdef"[digit];
  }
  return text;
}

}  // namespace

TokenTexts TokenTexts::from_lines(std::string_view content) {
  TokenTexts tokens;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    tokens.texts_.emplace_back(line);
    content.remove_prefix(std::min(end + 1, content.size()));
  }
  return tokens;
}

TokenTexts TokenTexts::from_tokenizer_json(std::string_view content) {
  const json root = json::parse(content, nullptr, false);
  if (root.is_discarded()) throw TokensError("not valid JSON");
  const json model = root.is_object() ? root.value("model", json()) : json();
  const auto vocab = model.is_object() ? model.find("vocab") : model.end();
  if (!model.is_object() || vocab == model.end()) throw TokensError("not a tokenizer.json: it has no model.vocab");
  const auto component = [&](const char* name) { return root.contains(name) ? root.at(name) : json(); };
  const bool byte_level = names_byte_level(component("decoder")) || names_byte_level(component("pre_tokenizer"));

  TokenTexts tokens;
  const auto add = [&](int64_t id, const std::string& piece) {
    tokens.set(id, byte_level ? decode_byte_level(piece) : piece);
  };
  if (vocab->is_object()) {
    for (const auto& [piece, id] : vocab->items()) add(id_of(id), piece);
  } else if (vocab->is_array()) {
    int64_t id = 0;
    for (const json& entry : *vocab) {
      if (!entry.is_array() || entry.empty()) throw TokensError("model.vocab holds an entry that is no [text, score]");
      if (id >= kMaxId) throw TokensError("model.vocab holds more than 2^21 tokens");
      add(id++, text_of(entry[0]));
    }
  } else {
    throw TokensError("model.vocab is neither an object nor an array");
  }
  const json added = component("added_tokens");
  if (!added.is_null() && !added.is_array()) throw TokensError("added_tokens is not an array");
  for (const json& token : added) {
    if (!token.is_object() || !token.contains("id") || !token.contains("content")) {
      throw TokensError("added_tokens holds an entry without id or content");
    }
    tokens.set(id_of(token.at("id")), text_of(token.at("content")));
  }
  return tokens;
}

TokenTexts TokenTexts::from_file_content(std::string_view file_name, std::string_view content) {
  return file_name.ends_with(".json") ? from_tokenizer_json(content) : from_lines(content);
}

std::string_view TokenTexts::text(int64_t id) const {
  if (id < 0 || id >= static_cast<int64_t>(texts_.size())) return {};
  return texts_[static_cast<size_t>(id)];
}

void TokenTexts::set(int64_t id, std::string text) {
  if (id >= static_cast<int64_t>(texts_.size())) texts_.resize(static_cast<size_t>(id) + 1);
  texts_[static_cast<size_t>(id)] = std::move(text);
}

std::string escape_text(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const Decoded decoded = decode_utf8(bytes);
    const std::string_view raw = bytes.substr(0, decoded.bytes);
    if (raw == "\n") {
      text += "\\n";
    } else if (raw == "\t") {
      text += "\\t";
    } else if (raw == "\r") {
      text += "\\r";
    } else if (raw == "\\" || raw == "\"") {
      text += '\\';
      text += raw;
    } else if (decoded.character == kInvalid || (is_hidden(decoded.character) && decoded.character < 0x80)) {
      text += "\\x" + hexadecimal(static_cast<unsigned char>(raw[0]), 2);
    } else if (is_hidden(decoded.character)) {
      text += "\\u{" + hexadecimal(decoded.character, 4) + "}";
    } else {
      text += raw;
    }
    bytes.remove_prefix(decoded.bytes);
  }
  return text;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const Decoded decoded = decode_utf8(bytes);
    if (decoded.character == kInvalid) {
      text += "\xef\xbf\xbd";
    } else {
      text += bytes.substr(0, decoded.bytes);
    }
    bytes.remove_prefix(decoded.bytes);
  }
  return text;
}

}  // namespace tokendraw::cli
