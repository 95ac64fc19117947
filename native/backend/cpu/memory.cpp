#include <algorithm>
#include <cstring>

#include "backend/cpu/backend_class.h"

namespace countenance::COUNTENANCE_CPU {

namespace {

class CpuBlock final : public DeviceBlock {
 public:
  explicit CpuBlock(size_t bytes) : block_(bytes) {}
  void* data() const override { return block_.data(); }
  size_t bytes() const override { return block_.bytes(); }

 private:
  HostBlock block_;
};

// Every operation, including a copy, is complete when its call returns.
class CpuReadback final : public Readback {
 public:
  explicit CpuReadback(size_t bytes) : bytes_(bytes) {}
  void start(Tensor x) override {
    ensure(x.bytes() <= bytes_.size(), "a readback of ", x.bytes(), " bytes");
    std::memcpy(bytes_.data(), x.data, x.bytes());
  }
  const void* wait() override { return bytes_.data(); }

 private:
  std::vector<char> bytes_;
};

constexpr int64_t kGrain = 1 << 16;

}  // namespace

CpuBackend::CpuBackend(int threads, ConvolutionMethod convolution)
    : convolution_(convolution),
      pool_(threads == 0 ? ThreadPool::available_threads() : threads),
      scratch_(static_cast<size_t>(pool_.size() * kScratchFloats) * sizeof(float)) {}

std::string CpuBackend::description() const {
#if defined(COUNTENANCE_ISA_AVX512)
  return "cpu (avx512)";
#elif defined(COUNTENANCE_ISA_AVX2)
  return "cpu (avx2)";
#else
  return "cpu (portable)";
#endif
}

std::unique_ptr<DeviceBlock> CpuBackend::allocate(size_t bytes) {
  return std::make_unique<CpuBlock>(bytes);
}

void CpuBackend::copy_in(Tensor device, const void* host) {
  std::memcpy(device.data, host, device.bytes());
}

void CpuBackend::copy_out(void* host, Tensor device) {
  std::memcpy(host, device.data, device.bytes());
}

void CpuBackend::copy(Tensor y, Tensor x) {
  ensure(y.bytes() == x.bytes(), "copy between tensors of different size");
  const char* from = static_cast<const char*>(x.data);
  char* to = static_cast<char*>(y.data);
  pool_.parallel_for(static_cast<int64_t>(x.bytes()), kGrain, [&](int64_t begin, int64_t end, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

void CpuBackend::fill(Tensor x, float value) {
  float* data = x.f32();
  pool_.parallel_for(x.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
    std::fill(data + begin, data + end, value);
  });
}

std::unique_ptr<Readback> CpuBackend::make_readback(size_t bytes) {
  return std::make_unique<CpuReadback>(bytes);
}

void CpuBackend::replay(const Recording&, uint64_t) {
  ensure(false, "the CPU has no recording to replay");
}

std::unique_ptr<Backend> make_backend(int threads, ConvolutionMethod convolution);
std::unique_ptr<Backend> make_backend(int threads, ConvolutionMethod convolution) {
  return std::make_unique<CpuBackend>(threads, convolution);
}

}  // namespace countenance::COUNTENANCE_CPU
