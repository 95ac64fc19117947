#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A strict reader of JSON (RFC 8259) for the files of test/: it throws on anything it does not
// understand.

namespace countenance::test {

class Json {
 public:
  enum class Kind : uint8_t { Null, Boolean, Number, String, Array, Object };
  using Member = std::pair<std::string, Json>;

  // Throws ERR_INVALID_ARGUMENT with the byte offset of the error.
  static Json parse(std::string_view text);

  Kind kind() const { return kind_; }
  // Each throws ERR_INVALID_ARGUMENT when the value is of another kind.
  bool boolean() const;
  double number() const;
  int64_t integer() const;  // a number without a fraction
  const std::string& string() const;
  const std::vector<Json>& array() const;
  const std::vector<Member>& object() const;  // in the file's order

  // Members by name; [] throws if there is none.
  const Json* find(std::string_view name) const;
  const Json& operator[](std::string_view name) const;

 private:
  friend class JsonParser;
  Kind kind_ = Kind::Null;
  bool boolean_ = false;
  double number_ = 0.0;
  std::string string_;
  std::vector<Json> array_;
  std::vector<Member> object_;
};

// The path of a file under test/, wherever the tests are run from: test_path("golden/x.json").
std::string test_path(std::string_view relative);

std::string read_text(const std::string& path);
Json load_json(const std::string& path);

}  // namespace countenance::test
