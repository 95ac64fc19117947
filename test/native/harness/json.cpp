#include "harness/json.h"

#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>

#include "core/error.h"

namespace countenance::test {

namespace {

constexpr int kMaxDepth = 64;

const char* name_of(Json::Kind kind) {
  constexpr const char* kNames[] = {"null", "boolean", "number", "string", "array", "object"};
  return kNames[static_cast<int>(kind)];
}

void expect(Json::Kind expected, Json::Kind kind) {
  require(expected == kind, "Expected a JSON ", name_of(expected), " but received a ",
          name_of(kind));
}

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Json document() {
    Json value = parse_value(0);
    skip_space();
    if (place_ != text_.size()) fault("text behind the value");
    return value;
  }

 private:
  [[noreturn]] void fault(const char* what) const {
    fail(code::kInvalidArgument, "bad JSON at byte ", place_, ": ", what);
  }

  void skip_space() { place_ = std::min(text_.find_first_not_of(" \t\r\n", place_), text_.size()); }

  bool take(char c) {
    if (place_ == text_.size() || text_[place_] != c) return false;
    ++place_;
    return true;
  }

  bool take(std::string_view word) {
    if (text_.substr(place_, word.size()) != word) return false;
    place_ += word.size();
    return true;
  }

  Json parse_value(int depth) {
    if (depth > kMaxDepth) fault("nested too deeply");
    skip_space();
    Json value;
    if (take('{')) {
      value.kind_ = Json::Kind::Object;
      parse_members(value.object_, depth);
    } else if (take('[')) {
      value.kind_ = Json::Kind::Array;
      parse_elements(value.array_, depth);
    } else if (take('"')) {
      value.kind_ = Json::Kind::String;
      value.string_ = parse_string();
    } else if (take("true")) {
      value.kind_ = Json::Kind::Boolean;
      value.boolean_ = true;
    } else if (take("false")) {
      value.kind_ = Json::Kind::Boolean;
    } else if (!take("null")) {
      value.kind_ = Json::Kind::Number;
      value.number_ = parse_number();
    }
    return value;
  }

  void parse_members(std::vector<Json::Member>& members, int depth) {
    skip_space();
    if (take('}')) return;
    do {
      skip_space();
      if (!take('"')) fault("expected a name");
      std::string name = parse_string();
      for (const Json::Member& member : members) {
        if (member.first == name) fault("a name that stands twice");
      }
      skip_space();
      if (!take(':')) fault("expected a colon");
      members.emplace_back(std::move(name), parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take('}')) fault("expected , or }");
  }

  void parse_elements(std::vector<Json>& elements, int depth) {
    skip_space();
    if (take(']')) return;
    do {
      elements.push_back(parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) fault("expected , or ]");
  }

  std::string parse_string() {
    std::string result;
    for (;;) {
      if (place_ == text_.size()) fault("a string without end");
      const char c = text_[place_++];
      if (c == '"') return result;
      if (static_cast<unsigned char>(c) < 0x20) fault("a control character in a string");
      if (c != '\\') {
        result += c;
        continue;
      }
      // The files of test/ are ASCII and need no \u.
      constexpr std::string_view kEscapes = "\"\\/bfnrt";
      constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
      const size_t escape = place_ < text_.size() ? kEscapes.find(text_[place_]) : kEscapes.npos;
      if (escape == kEscapes.npos) fault("an unknown escape");
      result += kMeanings[escape];
      ++place_;
    }
  }

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  // -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
  double parse_number() {
    const size_t begin = place_;
    const auto digits = [&] {
      const size_t first = place_;
      while (place_ < text_.size() && is_digit(text_[place_])) ++place_;
      if (place_ == first) fault("expected a value");
    };
    take('-');
    if (!take('0')) digits();
    if (take('.')) digits();
    if (take('e') || take('E')) {
      if (!take('-')) take('+');
      digits();
    }
    double value = 0.0;
    const auto result = std::from_chars(text_.data() + begin, text_.data() + place_, value);
    if (result.ec != std::errc{}) fault("a number out of range");
    return value;
  }

  std::string_view text_;
  size_t place_ = 0;
};

Json Json::parse(std::string_view text) { return JsonParser(text).document(); }

bool Json::boolean() const {
  expect(Kind::Boolean, kind_);
  return boolean_;
}

double Json::number() const {
  expect(Kind::Number, kind_);
  return number_;
}

int64_t Json::integer() const {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  require(number() == std::trunc(number()) && std::fabs(number()) <= kExact,
          "Expected an integer but received ", number());
  return static_cast<int64_t>(number_);
}

const std::string& Json::string() const {
  expect(Kind::String, kind_);
  return string_;
}

const std::vector<Json>& Json::array() const {
  expect(Kind::Array, kind_);
  return array_;
}

const std::vector<Json::Member>& Json::object() const {
  expect(Kind::Object, kind_);
  return object_;
}

const Json* Json::find(std::string_view name) const {
  for (const Member& member : object()) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view name) const {
  const Json* member = find(name);
  require(member != nullptr, "Expected a member ", name, " in a JSON object but there is none");
  return *member;
}

std::string test_path(std::string_view relative) {
  return std::string(COUNTENANCE_SOURCE_DIR) + "/test/" + std::string(relative);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), "cannot open ", path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Json load_json(const std::string& path) { return Json::parse(read_text(path)); }

}  // namespace countenance::test
