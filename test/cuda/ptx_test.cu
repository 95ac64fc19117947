#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "backend/cuda/device/warpgroups.h"
#include "device_array.h"
#include "harness/harness.h"
#include "ptx_functions.h"

namespace countenance::test {

using namespace cuda;

namespace {

template <class Kernel, class... Arguments>
std::vector<uint32_t> words_of(int count, Kernel kernel, Arguments... arguments) {
  const Stream stream = make_stream();
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(static_cast<size_t>(count)), stream);
  launch("ptx", stream, {dim3(1), dim3(32)}, kernel, out.data(), arguments...);
  return out.get();
}

std::vector<uint32_t> async_input() {
  std::vector<uint32_t> in;
  for (uint32_t i = 0; i < 128; ++i) in.push_back(1000 + i);
  return in;
}

std::vector<uint32_t> async_words() {
  const Stream stream = make_stream();
  const DeviceArray<uint32_t> in(async_input(), stream);
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(kAsyncWords), stream);
  launch("ptx", stream, {dim3(1), dim3(32)}, async_functions, out.data(), in.data());
  return out.get();
}

bool can_multiply_by_warpgroup(cudaStream_t stream) {
#ifdef COUNTENANCE_EMULATED  // on a device of any capability
  (void)stream;
  return true;
#else
  cudaDeviceProp properties;
  COUNTENANCE_CUDA(cudaGetDeviceProperties(&properties, 0));
  return has_warpgroups(properties, stream);
#endif
}

std::vector<uint32_t> warpgroup_words(cudaStream_t stream) {
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(kWarpgroupWords), stream);
  launch("wgmma", stream, {dim3(1), dim3(kWarpgroupThreads), kWarpgroupBytes}, warpgroup_functions,
         out.data());
  return out.get();
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

TEST(mma_multiplies_matrices) {
  const std::vector<uint32_t> out = words_of(kMmaWords, mma_functions);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float sum = small_integer(2000 + row * 8 + column);
      for (int k = 0; k < 16; ++k) {
        sum += small_integer(row * 16 + k) * small_integer(1000 + k * 8 + column);
      }
      const float got = float_of(out[static_cast<size_t>(row * 8 + column)]);
      CHECK(got == sum, row, ", ", column, ": ", got, " instead of ", sum);
    }
  }
}

TEST(wgmma_multiplies_matrices) {
  const Stream stream = make_stream();
  if (!can_multiply_by_warpgroup(stream)) return skip("wgmma needs compute capability 9.0");
  const std::vector<uint32_t> out = warpgroup_words(stream);
  for (int variant = 0; variant < 8; ++variant) {
    const int columns = variant < 4 ? 64 : 128;
    for (int thread = 0; thread < kWarpgroupThreads; ++thread) {
      uint32_t expected = 0;
      for (int i = 0; i < columns / 2; ++i) {
        const int row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (i % 4 / 2);
        const int column = i / 4 * 8 + 2 * (thread % 4) + i % 2;
        float sum = small_integer(50000 + row * columns + column);
        for (int k = 0; k < kWarpgroupDepth; ++k) {
          sum += small_integer(row * kWarpgroupDepth + k) *
                 small_integer(10000 + column * kWarpgroupDepth + k);
        }
        expected += static_cast<uint32_t>(i + 1) * static_cast<uint32_t>(static_cast<int>(sum));
      }
      const uint32_t got = out[static_cast<size_t>(variant * kWarpgroupThreads + thread)];
      CHECK(got == expected, "variant ", variant, " thread ", thread);
    }
  }
}

TEST(ldmatrix_hands_out_fragments) {
  const std::vector<uint32_t> out = words_of(kLoadWords, load_functions);
  const auto pair = [](int first, int second) {
    return static_cast<uint32_t>(first) | static_cast<uint32_t>(second) << 16;
  };
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t* words = &out[static_cast<size_t>(lane * 14)];
    const int row = lane / 4, column = 2 * (lane % 4);
    for (int transposed = 0; transposed < 2; ++transposed) {
      for (int count : {1, 2, 4}) {
        for (int matrix = 0; matrix < count; ++matrix) {
          const int base = 64 * matrix;
          const uint32_t want = transposed
                                    ? pair(base + 8 * column + row, base + 8 * (column + 1) + row)
                                    : pair(base + 8 * row + column, base + 8 * row + column + 1);
          CHECK(*words == want, "lane ", lane, " x", count, transposed ? " trans" : "", " matrix ",
                matrix);
          ++words;
        }
      }
    }
  }
}

TEST(cp_async_copies_or_clears) {
  const std::vector<uint32_t> out = async_words();
  for (uint32_t i = 0; i < 128; ++i) {
    const uint32_t lane = i / 4;
    CHECK(out[i] == (lane % 3 != 0 ? 1000 + 4 * (31 - lane) + i % 4 : 0), i);
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    CHECK(out[128 + lane] == (lane % 3 != 1 ? 1000 + lane : 0), lane);
  }
}

TEST(rounding_to_bfloat16_is_to_nearest_even) {
  const std::vector<uint32_t> out = words_of(kMathWords, math_functions);
  for (int i = 0; i < kMathInputs; ++i) {
    const float x = math_input(i);
    const float got = float_of(out[static_cast<size_t>(i * kMathFunctions)]);
    if (std::isnan(x)) {
      CHECK(std::isnan(got), i);
      continue;
    }
    // The neighbours with 8 bits of mantissa, and the closer of the two.
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint32_t below = bits & 0xFFFF0000u, above = below + 0x10000u;
    const uint32_t rest = bits & 0xFFFFu;
    const bool up = rest > 0x8000u || (rest == 0x8000u && (below >> 16 & 1));
    CHECK(got == float_of(up ? above : below), x, " became ", got);
  }
}

// A GPU's recorded results, word by word; functions that CUDA does not round correctly must be
// within what its manual allows plus the host's own error: 3 units in the last place.
TEST(the_emulator_agrees_with_a_gpu) {
  std::ifstream file(std::string(COUNTENANCE_SOURCE_DIR) + "/test/cuda/golden/ptx.txt");
  if (!file) return skip("golden/ptx.txt: not recorded on a GPU yet (golden/record.cu)");
  std::map<std::string, std::vector<uint32_t>> emulated = {
      {"mma", words_of(kMmaWords, mma_functions)},
      {"ldmatrix", words_of(kLoadWords, load_functions)},
      {"cp_async", async_words()},
      {"math", words_of(kMathWords, math_functions)}};
  const Stream stream = make_stream();
  if (can_multiply_by_warpgroup(stream)) emulated["wgmma"] = warpgroup_words(stream);
  size_t sections = 0;
  bool of_90 = false;  // only it has wgmma
  for (std::string line; std::getline(file, line);) {
    of_90 = of_90 || line.find("compute capability 9.0") != std::string::npos;
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    words >> name >> std::hex;
    const auto found = emulated.find(name);
    CHECK(found != emulated.end() || name == "wgmma", name);
    if (found == emulated.end()) continue;
    ++sections;
    size_t i = 0;
    for (uint32_t word; words >> word; ++i) {
      const uint32_t ours = found->second.at(i);
      const float a = float_of(ours), b = float_of(word);
      const bool inexact = name == "math" && i % kMathFunctions != 0;
      const bool close = inexact && (std::fabs(a - b) <= 3 * 1.2e-7f * std::fabs(b) + 1e-44f ||
                                     (std::isnan(a) && std::isnan(b)));
      CHECK(ours == word || close, name, " word ", i, ": ", a, " but a GPU gave ", b);
    }
    CHECK(i == found->second.size(), name, " has ", i, " words");
  }
  CHECK(sections == emulated.size() - (emulated.count("wgmma") && !of_90));
}

}  // namespace countenance::test
