#include "backend/cuda_loader.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "death.h"
#include "harness/harness.h"

// The loader searches once per process, so each case runs in its own process and reports on
// standard error what it found.

namespace countenance::test {

namespace {

std::string with_plugin(const std::string& path, const std::function<void()>& f) {
  return death_of([&] {
    setenv("COUNTENANCE_CUDA_PLUGIN", path.c_str(), 1);
    f();
  });
}

void tell_info() {
  const CudaInfo info = cuda_info();
  std::fprintf(stderr, "devices %zu, driver %d, reason: %s\n", info.devices.size(),
               info.driver_version, info.reason.c_str());
  for (const CudaDeviceInfo& d : info.devices) {
    std::fprintf(stderr, "%d: %s, %d.%d, %d MiB\n", d.index, d.name.c_str(), d.major, d.minor,
                 static_cast<int>(d.total_bytes >> 20));
  }
}

void tell_backend(int device) {
  try {
    const std::unique_ptr<Backend> backend = make_cuda_backend(device);
    std::fprintf(stderr, "made %s\n", backend->description().c_str());
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.code(), error.what());
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(without_a_plugin_the_reason_is_told) {
  const std::string info = with_plugin("/nowhere/countenance_cuda.so", tell_info);
  CHECK(contains(info, "devices 0"), info);
  CHECK(contains(info, "cannot be opened: /nowhere/countenance_cuda.so"), info);
  const std::string backend = with_plugin("/nowhere/countenance_cuda.so", [] { tell_backend(0); });
  CHECK(contains(backend, "ERR_DEVICE_UNAVAILABLE: the CUDA plugin cannot be opened"), backend);
}

TEST(what_is_no_library_is_told) {
  char path[] = "/tmp/countenance-plugin-XXXXXX";
  const int file = mkstemp(path);
  CHECK(file >= 0);
  close(file);
  std::ofstream(path) << "not a library\n";
  const std::string info = with_plugin(path, tell_info);
  CHECK(contains(info, "cannot be opened") && contains(info, path), info);
  unlink(path);
}

TEST(what_is_no_plugin_is_told) {
  const std::string info = with_plugin(EMPTY_PLUGIN, tell_info);
  CHECK(contains(info, "is not a countenance plugin"), info);
}

TEST(a_plugin_of_other_sources_is_not_used) {
  for (const auto& f : {std::function<void()>(tell_info), {[] { tell_backend(0); }}}) {
    const std::string said = with_plugin(FOREIGN_PLUGIN, f);
    CHECK(contains(said, "built from other sources or with another C++ library") &&
              contains(said, "0123456789abcdef"),
          said);
  }
}

TEST(a_plugin_tells_its_devices) {
  const std::string info = with_plugin(EMULATED_PLUGIN, tell_info);
  CHECK(contains(info, "devices 1, driver 13000, reason: \n"), info);
  CHECK(contains(info, "0: Emulated GPU, 8.0, 1024 MiB\n"), info);
  CHECK(contains(with_plugin(EMULATED_PLUGIN, [] { tell_backend(0); }),
                 "made cuda:0 (Emulated GPU)"));
  const std::string second = with_plugin(EMULATED_PLUGIN, [] { tell_backend(1); });
  CHECK(contains(second, "ERR_DEVICE_UNAVAILABLE: there is no GPU cuda:1; this machine has 1"),
        second);
}

// Works across the plugin's boundary, errors included.
TEST(a_backend_of_a_plugin_works) {
  const std::string said = with_plugin(EMULATED_PLUGIN, [] {
    const std::unique_ptr<Backend> backend = make_cuda_backend(0);
    const auto block = backend->allocate(4 * sizeof(float));
    const Tensor x = tensor_of(static_cast<float*>(block->data()), {4});
    backend->fill(x, 1.5f);
    float values[4];
    backend->copy_out(values, x);
    std::fprintf(stderr, "values %g %g\n", static_cast<double>(values[0]),
                 static_cast<double>(values[3]));
    try {
      backend->allocate(size_t{1} << 40);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s: %s\n", error.code(), error.what());
    }
    for (int i = 0; i < 1000; ++i) {
      try {
        backend->packed_elements({1, 2, 3});
      } catch (const Error&) {
      }
    }
  });
  CHECK(contains(said, "values 1.5 1.5\n"), said);
  CHECK(contains(said, "ERR_OUT_OF_MEMORY: cannot allocate 1099511627776 bytes"), said);
  CHECK(contains(said, "exit 0"), said);
}

// The plugin that nvcc built, if it was built: without a driver or a GPU it says so.
TEST(the_real_plugin_opens) {
  if (access(REAL_PLUGIN, R_OK) != 0) return skip("countenance_cuda.so was not built");
  const std::string info = with_plugin(REAL_PLUGIN, tell_info);
  CHECK(contains(info, "there is no NVIDIA driver") || contains(info, "driver is too old") ||
            contains(info, "there is no NVIDIA GPU") || contains(info, "reason: \n"),
        info);
  std::printf("    %s", info.c_str());
  CHECK(contains(info, "exit 0"), info);
}

}  // namespace countenance::test
