// SPDX-License-Identifier: Apache-2.0
// Token texts: both kinds of file, the byte-level alphabet, and what may reach a terminal.
#include "tokens.h"

#include <gtest/gtest.h>

namespace tokendraw::cli_test {
namespace {

using cli::escape_text;
using cli::TokensError;
using cli::TokenTexts;

TEST(Tokens, OneALine) {
  const TokenTexts tokens = TokenTexts::from_lines("a\n\nc c\r\nlast");
  EXPECT_EQ(tokens.text(0), "a");
  EXPECT_EQ(tokens.text(1), "");
  EXPECT_EQ(tokens.text(2), "c c");
  EXPECT_EQ(tokens.text(3), "last");
  EXPECT_EQ(tokens.text(4), "");
  EXPECT_EQ(tokens.text(-1), "");
}

TEST(Tokens, ByteLevelTokenizer) {
  // U+0120 is a space, U+010A a line feed, U+00C3 U+00A9 the two bytes of e-acute, U+0143 the byte 0xAD.
  const TokenTexts tokens = TokenTexts::from_tokenizer_json(R"({
    "added_tokens": [{"id": 4, "content": "<|end|>"}, {"id": 9, "content": "<Ġ>"}],
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]},
    "decoder": null,
    "model": {"type": "BPE", "vocab": {"Ġusing": 0, "Ċ": 1, "cafÃ©": 2, "Ń": 3, "plain": 5, "日本": 6}}})");
  EXPECT_EQ(tokens.text(0), " using");
  EXPECT_EQ(tokens.text(1), "\n");
  EXPECT_EQ(tokens.text(2), "caf\xc3\xa9");
  EXPECT_EQ(tokens.text(3), "\xad");
  EXPECT_EQ(tokens.text(4), "<|end|>");
  EXPECT_EQ(tokens.text(5), "plain");
  EXPECT_EQ(tokens.text(6), "日本");  // not in that alphabet: left as it is
  EXPECT_EQ(tokens.text(7), "");
  EXPECT_EQ(tokens.text(9), "<Ġ>");  // added tokens are never in it
}

TEST(Tokens, OtherTokenizersStayAsTheyAre) {
  const TokenTexts bpe = TokenTexts::from_tokenizer_json(R"({"model": {"vocab": {"\u2581a": 1}}})");
  EXPECT_EQ(bpe.text(1),
            "\xe2\x96\x81"
            "a");
  const TokenTexts unigram =
      TokenTexts::from_tokenizer_json(R"({"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["b", -1.5]]}})");
  EXPECT_EQ(unigram.text(0), "<unk>");
  EXPECT_EQ(unigram.text(1), "b");
}

TEST(Tokens, TheNameTellsTheKind) {
  EXPECT_EQ(TokenTexts::from_file_content("a/tokenizer.json", R"({"model": {"vocab": {"x": 0}}})").text(0), "x");
  EXPECT_EQ(TokenTexts::from_file_content("tokens.txt", "{\n}\n").text(1), "}");
}

TEST(Tokens, RefusesWhatIsNoTokenizer) {
  for (const char* content : {
           "",
           "{",
           "[]",
           "{}",
           R"({"model": {}})",
           R"({"model": 1})",
           R"({"model": {"vocab": 1}})",
           R"({"model": {"vocab": {"a": "1"}}})",
           R"({"model": {"vocab": {"a": -1}}})",
           R"({"model": {"vocab": {"a": 1.5}}})",
           R"({"model": {"vocab": {"a": 2097152}}})",
           R"({"model": {"vocab": {"a": 18446744073709551615}}})",
           R"({"model": {"vocab": [1]}})",
           R"({"model": {"vocab": [[1]]}})",
           R"({"model": {"vocab": [[]]}})",
           R"({"model": {"vocab": {}}, "added_tokens": 1})",
           R"({"model": {"vocab": {}}, "added_tokens": [1]})",
           R"({"model": {"vocab": {}}, "added_tokens": [{"id": 1}]})",
           R"({"model": {"vocab": {}}, "added_tokens": [{"id": 1, "content": 2}]})",
       }) {
    EXPECT_THROW(TokenTexts::from_tokenizer_json(content), TokensError) << content;
  }
}

TEST(Tokens, NothingUnprintableReachesATerminal) {
  EXPECT_EQ(escape_text("plain caf\xc3\xa9 日本"), "plain caf\xc3\xa9 日本");
  EXPECT_EQ(escape_text("a\n\t\r\"\\"), "a\\n\\t\\r\\\"\\\\");
  EXPECT_EQ(escape_text("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(escape_text(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(escape_text("\xe2\x82"), "\\xe2\\x82");                    // part of a character
  EXPECT_EQ(escape_text("\xc0\x80"), "\\xc0\\x80");                    // not the shortest form
  EXPECT_EQ(escape_text("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(escape_text("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(escape_text("\xc2\x9b"), "\\u{009b}");                     // a control character of one code point
  EXPECT_EQ(escape_text("\xe2\x80\xae"), "\\u{202e}");                 // turns the text round
  EXPECT_EQ(escape_text("\xf3\xa0\x80\x81"), "\\u{e0001}");            // an invisible tag
}

TEST(Tokens, JsonGetsValidText) {
  EXPECT_EQ(cli::to_valid_utf8("ok \xc3\xa9"), "ok \xc3\xa9");
  EXPECT_EQ(cli::to_valid_utf8("\xe2\x82!"), "\xef\xbf\xbd\xef\xbf\xbd!");
}

}  // namespace
}  // namespace tokendraw::cli_test
