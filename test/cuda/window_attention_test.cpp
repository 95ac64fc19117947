#include "backend/cuda/attention/window_attention_large.h"
#include "backend/cuda/backend_class.h"
#include "harness/harness.h"

namespace countenance::test {

TEST(window_attention_names_the_largest_window) {
  const int64_t window = cuda::kLargestWindow + 1;
  const WindowAttentionAttributes attributes{1, window, 0};
  cuda::CudaBackend backend(0);
  Tensor qkv, y;
  qkv.shape = {1, window, window, 3};
  y.shape = {1, window, window, 1};
  std::string message;
  CHECK(error_code([&] {
          try {
            backend.window_attention_forward(y, {}, qkv, {}, attributes, {});
          } catch (const Error& error) {
            message = error.what();
            throw;
          }
        }) == code::kUnsupported);
  CHECK(message.find("41 x 41 tokens is too large: the largest one on a GPU is 40 x 40") !=
            message.npos,
        message);
}

}  // namespace countenance::test
