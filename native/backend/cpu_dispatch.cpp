#include <cstdlib>
#include <string_view>

#include "backend/cpu/cpu_backend.h"

namespace countenance {

namespace cpu_portable {
std::unique_ptr<Backend> make_backend(int threads, ConvolutionMethod convolution);
}
#if defined(__x86_64__)
namespace cpu_avx2 {
std::unique_ptr<Backend> make_backend(int threads, ConvolutionMethod convolution);
}
namespace cpu_avx512 {
std::unique_ptr<Backend> make_backend(int threads, ConvolutionMethod convolution);
}
#endif

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::Portable:
      return "portable";
    case Isa::Avx2:
      return "avx2";
    case Isa::Avx512:
      return "avx512";
  }
  return "?";
}

bool supported([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == Isa::Avx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
  }
  if (isa == Isa::Avx512) {
    return supported(Isa::Avx2) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
  return true;
#else
  return isa == Isa::Portable;
#endif
}

Isa detect_isa() {
  if (const char* wanted = std::getenv("COUNTENANCE_ISA"); wanted && *wanted) {
    for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512}) {
      if (std::string_view(wanted) != name_of(isa)) continue;
      require(supported(isa), "COUNTENANCE_ISA=", wanted, ": this processor lacks it");
      return isa;
    }
    fail(code::kInvalidArgument,
         "Expected portable, avx2 or avx512 for COUNTENANCE_ISA but received ", wanted);
  }
  if (supported(Isa::Avx512)) return Isa::Avx512;
  return supported(Isa::Avx2) ? Isa::Avx2 : Isa::Portable;
}

ConvolutionMethod detect_convolution() {
  const char* wanted = std::getenv("COUNTENANCE_CONVOLUTION");
  if (!wanted || !*wanted || std::string_view(wanted) == "winograd") {
    return ConvolutionMethod::Winograd;
  }
  require(std::string_view(wanted) == "direct",
          "Expected winograd or direct for COUNTENANCE_CONVOLUTION but received ", wanted);
  return ConvolutionMethod::Direct;
}

std::unique_ptr<Backend> make_cpu_backend(int threads, Isa isa, ConvolutionMethod convolution) {
  require(supported(isa), "the instruction set ", name_of(isa), " is not supported here");
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return cpu_avx512::make_backend(threads, convolution);
  if (isa == Isa::Avx2) return cpu_avx2::make_backend(threads, convolution);
#endif
  return cpu_portable::make_backend(threads, convolution);
}

}  // namespace countenance
