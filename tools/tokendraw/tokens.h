// SPDX-License-Identifier: Apache-2.0
// The text of tokens, to show beside their ids.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tokendraw::cli {

// What is wrong with the file, in one line without its name.
struct TokensError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class TokenTexts {
 public:
  TokenTexts() = default;

  // One token a line: line i, counted from 0, is the text of id i. Lines end with \n or \r\n.
  static TokenTexts from_lines(std::string_view content);

  // A Hugging Face tokenizer.json: model.vocab (an object of text to id, or Unigram's array of [text, score]) and
  // added_tokens. Where the tokenizer names ByteLevel, its alphabet is turned back into the bytes that it stands for.
  // Throws TokensError.
  static TokenTexts from_tokenizer_json(std::string_view content);

  // tokenizer.json if the name ends in ".json", else one token a line.
  static TokenTexts from_file_content(std::string_view file_name, std::string_view content);

  // The bytes of the token, "" for an id that has none. They need not be valid UTF-8: a token may hold part of a
  // character.
  std::string_view text(int64_t id) const;

 private:
  void set(int64_t id, std::string text);
  std::vector<std::string> texts_;
};

// For a terminal: printable UTF-8 as it is; \n, \t, \r, \\ and \" by these names, other control characters, invalid
// UTF-8 and characters that reorder or hide text as \xNN or \u{NNNN}.
std::string escape_text(std::string_view bytes);

// Valid UTF-8: each byte that is not part of a character becomes U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

}  // namespace tokendraw::cli
