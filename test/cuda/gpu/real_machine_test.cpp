#include <cuda_runtime.h>

#include "backend/cuda/backend_class.h"
#include "harness/harness.h"
#include "numbers.h"

// The checks of emulated_machine_test.cpp, as far as a real GPU can show them.

namespace countenance::test {

using cuda::CudaBackend;

namespace {

size_t free_bytes() {
  size_t free = 0;
  size_t total = 0;
  COUNTENANCE_CUDA(cudaMemGetInfo(&free, &total));
  return free;
}

void use_and_close() {
  CudaBackend backend(0);
  const Numbers x(backend, counted(50'000'000));  // 200 MB
  const Numbers y(backend, counted(50'000'000));
  backend.copy(x.tensor, y.tensor);
  const auto recording = backend.record([&] { backend.fill(x.tensor, 1); });
  backend.replay(*recording, 0);
  backend.synchronize();
}

}  // namespace

// The driver itself keeps some memory after its first use, and other programs come and go: a leak
// here would be 400 MB per round.
TEST(closing_gives_everything_back) {
  use_and_close();
  const size_t before = free_bytes();
  for (int i = 0; i < 5; ++i) use_and_close();
  const size_t after = free_bytes();
  CHECK(after + (size_t{100} << 20) > before, before, " bytes were free, then ", after);
}

TEST(out_of_memory_tells_what_was_wanted_and_what_is_free) {
  CudaBackend backend(0);
  std::string message;
  CHECK(error_code([&] {
          try {
            backend.allocate(size_t{1} << 50);
          } catch (const Error& error) {
            message = error.what();
            throw;
          }
        }) == code::kOutOfMemory);
  CHECK(message.find("MiB are free") != std::string::npos, message);
  const Numbers x(backend, counted(5));
  CHECK(x.get(backend) == counted(5), "nothing is broken by it");
}

TEST(devices_are_counted) {
  int count = 0;
  COUNTENANCE_CUDA(cudaGetDeviceCount(&count));
  CHECK(error_code([&] { CudaBackend backend(count); }) == code::kDeviceUnavailable);
  CHECK(error_code([] { CudaBackend backend(-1); }) == code::kDeviceUnavailable);
  if (count < 2) return skip("one GPU only: two at once were not tried");
  CudaBackend first(0), second(1);
  const Numbers x(first, counted(7));
  const Numbers y(second, counted(7, 100));
  first.fill(x.tensor, 1);
  CHECK(y.get(second) == counted(7, 100) && x.get(first) == std::vector<float>(7, 1.0f));
}

}  // namespace countenance::test
