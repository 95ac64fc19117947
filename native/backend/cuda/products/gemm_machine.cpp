#include "backend/cuda/backend_class.h"
#include "backend/cuda/products/gemm_plan.h"

namespace countenance::cuda {

GemmMachine CudaBackend::gemm_machine() const { return {multiprocessors_, warpgroups_}; }

}  // namespace countenance::cuda
