#include "backend/cpu/cpu_backend.h"
#include "backend/op_cases.h"

namespace countenance::test {

const bool kEmulated = false;
const size_t kGuardBytes = 256;

// The CPU with each of its instruction sets.
const std::vector<TestedBackend>& all_tested_backends() {
  static const std::vector<TestedBackend> all = [] {
    std::vector<TestedBackend> found;
    for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512}) {
      if (!supported(isa)) continue;
      found.push_back(
          {name_of(isa), [isa](int threads) { return make_cpu_backend(threads, isa); }});
    }
    return found;
  }();
  return all;
}

}  // namespace countenance::test
