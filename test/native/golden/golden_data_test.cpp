// The reader of JSON and of the golden runs, and the seeded values behind them.

#include <cmath>

#include "golden/golden.h"
#include "harness/harness.h"
#include "harness/json.h"

using namespace countenance;
using namespace countenance::test;

TEST(json_reads_what_it_should) {
  const Json json =
      Json::parse(R"( {"a": [1, -2.5e3, 0, 0.125], "b": {"c": "x\"\\\n"}, "d": true, "e": null} )");
  CHECK(json["a"].array().size() == 4);
  CHECK(json["a"].array()[1].number() == -2500.0);
  CHECK(json["a"].array()[3].number() == 0.125);
  CHECK(json["a"].array()[0].integer() == 1);
  CHECK(json["b"]["c"].string() == "x\"\\\n");
  CHECK(json["d"].boolean());
  CHECK(json["e"].kind() == Json::Kind::Null);
  CHECK(json.find("f") == nullptr);
  CHECK(Json::parse("[]").array().empty() && Json::parse("{}").object().empty());
}

TEST(json_refuses_what_it_should) {
  for (const char* bad : {"",          " ",
                          "{",         "[1,]",
                          "[1 2]",     "{\"a\":1,}",
                          "{\"a\" 1}", "{a:1}",
                          "01",        "1.",
                          ".5",        "+1",
                          "1e",        "- 1",
                          "NaN",       "Infinity",
                          "nul",       "\"x",
                          "\"\\x\"",   "\"\n\"",
                          "1 2",       "{\"a\":1,\"a\":2}",
                          "1e999",     "'x'",
                          "[1]]"}) {
    CHECK(error_code([&] { Json::parse(bad); }) == code::kInvalidArgument, bad);
  }
  CHECK(error_code([] { Json::parse(std::string(100000, '[')); }) == code::kInvalidArgument);
  const Json json = Json::parse("{\"a\": 1.5}");
  CHECK(error_code([&] { json["b"]; }) == code::kInvalidArgument);
  CHECK(error_code([&] { json["a"].string(); }) == code::kInvalidArgument);
  CHECK(error_code([&] { json["a"].integer(); }) == code::kInvalidArgument);
}

TEST(golden_seeded_values) {
  // Computed in Python from the formulas of test/golden/README.md.
  const SeededValues u("dev.encoder.conv1.weight");
  CHECK(u[0] == -0.30989470332860947);
  CHECK(u[1] == -0.8930051410570741);
  CHECK(u[7] == 0.2075795284472406);
  CHECK(u[123456] == -0.18626776849851012);

  const float ramp[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const Digest d = digest("f_e", ramp, 10);
  CHECK(d.norm == std::sqrt(385.0));
  CHECK(std::fabs(d.projection - -10.644706196151674) <= 1e-13, d.projection);  // order of the sum
  CHECK(d.head == std::vector<double>({1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(golden_files_load) {
  const std::map<std::string, size_t> gradients = {
      {"resnet18", 64}, {"resnet34", 112}, {"resnet50", 165}, {"swint", 181}, {"swins", 337}};
  for (const std::string& name : golden_names()) {
    const Golden golden = load_golden(test_path("golden/" + name + ".json"));
    const std::string said = text(golden.model, "-", golden.size, "-", golden.contrast);
    CHECK(said == name, said);
    CHECK(golden.steps.size() == 3);
    CHECK(golden.steps[0].gradients.size() == gradients.at(golden.model), name);
    CHECK(golden.expression.head.size() == 8);
    CHECK(golden.weights_after.at("MLP.fc1.weight").head.size() >= 4);
    for (size_t t = 0; t < golden.steps.size(); ++t) {
      const GoldenStep& step = golden.steps[t];
      CHECK(step.labels == golden_labels(golden, static_cast<int64_t>(t)), name, ", step ", t);
      const double sum = step.supervised + step.transformation + step.contrast;
      CHECK(std::fabs(sum - step.total) <= 1e-6 * step.total, name);  // a few roundings of float
    }
    // A test without the model cannot check every weight, but it can check these: three steps at a
    // rate of 0.002 leave a weight within 1e-2 of where it started.
    const std::string key = "MLP.fc1.weight";
    const std::vector<float> weight = golden_weight(key, {128, kGoldenWidth}, golden.seed);
    const Digest started = digest(key, weight.data(), static_cast<int64_t>(weight.size()));
    const Digest& after = golden.weights_after.at(key);
    CHECK(std::fabs(started.norm - after.norm) <= 1e-2 * after.norm, name);
    for (size_t i = 0; i < after.head.size(); ++i) {
      CHECK(std::fabs(started.head[i] - after.head[i]) <= 1e-2, name);
    }
  }
  CHECK(error_code([] { load_golden(test_path("golden/absent.json")); }) == code::kInvalidArgument);
}
