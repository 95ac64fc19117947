# The plugin countenance_cuda.so, beside the addon.

enable_language(CUDA)

file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS native/backend/cuda/*.cu native/backend/cuda/*.cpp)
list(APPEND CUDA_SOURCES native/core/glibc_baseline.cpp)
set_source_files_properties(native/backend/cuda/plugin.cpp PROPERTIES
  COMPILE_DEFINITIONS ${ABI_DEFINITION})

add_library(countenance_cuda MODULE EXCLUDE_FROM_ALL ${CUDA_SOURCES})
set_target_properties(countenance_cuda PROPERTIES
  PREFIX ""
  SUFFIX ".so"
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/Release
  CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden
  # Keeps what ptxas says of each kernel for test/cuda/check-ptxas.mjs.
  CUDA_COMPILER_LAUNCHER "sh;${CMAKE_CURRENT_SOURCE_DIR}/tools/keep-ptxas.sh"
)
target_link_libraries(countenance_cuda PRIVATE countenance_flags)
target_include_directories(countenance_cuda SYSTEM PRIVATE
  ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
# The standard by hand: CMake before 3.26 does not know how to ask nvcc for C++20. Asked for none it
# would ask for what it takes for nvcc's default.
set(CMAKE_CUDA_STANDARD_DEFAULT "")
set_property(TARGET countenance_cuda PROPERTY CXX_STANDARD)
target_compile_options(countenance_cuda PRIVATE -std=c++20)
# No -use_fast_math: float32 is exact. The host's warnings, then nvcc's own.
set(CUDA_OPTIONS -Xptxas=-v -Xcompiler=-Wall,-Wextra)
if(WERROR)
  list(APPEND CUDA_OPTIONS -Werror=all-warnings -Xcompiler=-Werror)
endif()
target_compile_options(countenance_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${CUDA_OPTIONS}>")
target_link_options(countenance_cuda PRIVATE
  -Wl,-z,nodelete -Wl,-z,defs ${PORTABLE_LINK_OPTIONS})
