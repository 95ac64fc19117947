#include "backend/cuda/backend_class.h"
#include "harness/harness.h"
#include "numbers.h"

// The backend on machines that only the emulator can provide: with little memory, two devices, an
// old driver.

namespace countenance::test {

using cuda::CudaBackend;

namespace {

// Restores the emulated machine, whatever the test does to it.
struct SavedHardware {
  emulator::Hardware saved = emulator::hardware();
  ~SavedHardware() { emulator::hardware() = saved; }
};

}  // namespace

TEST(closing_gives_everything_back) {
  const emulator::Resources before = emulator::resources();
  {
    CudaBackend backend(0);
    const Numbers x(backend, counted(100000));
    const Numbers y(backend, counted(100000));
    backend.copy(x.tensor, y.tensor);
    CHECK(x.get(backend) == counted(100000));
    const auto recording = backend.record([&] { backend.fill(x.tensor, 1); });
    backend.replay(*recording, 0);
  }
  const emulator::Resources after = emulator::resources();
  CHECK(after.device_bytes == before.device_bytes && after.blocks == before.blocks &&
            after.handles == before.handles,
        after.device_bytes, " bytes, ", after.blocks, " blocks, ", after.handles, " handles");
}

TEST(out_of_memory_tells_what_was_wanted_and_what_is_free) {
  const SavedHardware saved;
  CudaBackend backend(0);
  emulator::hardware().memory = size_t{100} << 20;
  const auto first = backend.allocate(size_t{60} << 20);
  std::string message;
  CHECK(error_code([&] {
          try {
            backend.allocate(size_t{70} << 20);
          } catch (const Error& error) {
            message = error.what();
            throw;
          }
        }) == code::kOutOfMemory);
  CHECK(message.find("(70 MiB)") != std::string::npos &&
            message.find("of its 100 MiB are free") != std::string::npos,
        message);
  // Everything still works.
  const Numbers x(backend, counted(5));
  CHECK(x.get(backend) == counted(5));
}

TEST(images_reuse_the_memory_of_those_before_them) {
  const SavedHardware saved;
  CudaBackend backend(0);
  const Numbers out(backend, counted(2 * 4 * 4 * 3));
  const Tensor images = tensor_of(out.tensor.f32(), {2, 4, 4, 3});
  const std::vector<ImageTransform> transforms(2);
  const auto prepare = [&](int64_t width, int64_t height) {
    const std::vector<uint8_t> pixels(static_cast<size_t>(2 * width * height * 3), 128);
    const std::vector<ImageSize> sizes(2, {width, height});
    backend.resize_and_prepare_images(images, pixels, sizes, transforms, {});
    backend.synchronize();
  };
  for (int i = 0; i < 4; ++i) prepare(100, 80);  // every staging slot
  const emulator::Resources before = emulator::resources();
  for (const auto& [width, height] : {std::pair{100, 80}, {80, 100}, {3, 5}}) {
    prepare(width, height);
    CHECK(emulator::resources().blocks == before.blocks &&
              emulator::resources().device_bytes == before.device_bytes,
          width, " x ", height);
  }
  emulator::hardware().memory = size_t{40} << 20;
  CHECK(error_code([&] { prepare(3000, 3000); }) == code::kOutOfMemory);
  prepare(100, 80);  // everything still works
  CHECK(out.get(backend)[0] == (128 / 255.0f - 0.485f) / 0.229f);
}

TEST(devices_are_counted_and_told_apart) {
  const SavedHardware saved;
  emulator::hardware().devices = 2;
  CudaBackend first(0), second(1);
  CHECK(first.description() == "cuda:0 (Emulated GPU)" &&
        second.description() == "cuda:1 (Emulated GPU)");
  const Numbers x(first, counted(7));
  const Numbers y(second, counted(7, 100));
  first.fill(x.tensor, 1);
  CHECK(y.get(second) == counted(7, 100) && x.get(first) == std::vector<float>(7, 1.0f));
  CHECK(error_code([] { CudaBackend(2); }) == code::kDeviceUnavailable);
  CHECK(error_code([] { CudaBackend(-1); }) == code::kDeviceUnavailable);
  emulator::hardware().error = cudaErrorInsufficientDriver;
  CHECK(error_code([] { CudaBackend(0); }) == code::kDeviceUnavailable);
}

}  // namespace countenance::test
