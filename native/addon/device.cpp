#include "addon/device.h"

#include "addon/convert.h"
#include "backend/cuda_loader.h"

namespace countenance::addon {

namespace {

constexpr const char* kExpected = "'auto', 'cpu', 'cuda' or 'cuda:' and a number";

}  // namespace

Device read_device(Napi::Value value) {
  if (!value.IsString()) reject_argument(kExpected, "device", value);
  const std::string text = value.As<Napi::String>().Utf8Value();
  if (text == "auto") return {Device::Kind::Auto, 0};
  if (text == "cpu") return {Device::Kind::Cpu, 0};
  if (text == "cuda") return {Device::Kind::Cuda, 0};
  const std::string number = text.rfind("cuda:", 0) == 0 ? text.substr(5) : "";
  const bool valid = !number.empty() && number.size() <= 4 &&
                     number.find_first_not_of("0123456789") == std::string::npos;
  if (!valid) reject_argument(kExpected, "device", value);
  return {Device::Kind::Cuda, std::stoi(number)};
}

ModelBackend make_backend(const Device& device, int threads, Isa isa) {
  std::string fallback;
  if (device.kind == Device::Kind::Cuda) {
    try {
      return {make_cuda_backend(device.index), false, ""};
    } catch (const Error& error) {
      if (std::string_view(error.code()) != code::kDeviceUnavailable) throw;
      fail(error.code(), "device 'cuda:", device.index, "' is not available: ", error.what());
    }
  }
  if (device.kind == Device::Kind::Auto) {
    const CudaInfo cuda = cuda_info();
    if (!cuda.devices.empty()) {
      try {
        return {make_cuda_backend(0), false, ""};
      } catch (const Error& error) {
        fallback = error.what();
      }
    } else if (!cuda.nothing_there) {
      fallback = cuda.reason;
    }
  }
  return {make_cpu_backend(threads, isa), true, fallback};
}

}  // namespace countenance::addon
