# The plugin countenance_cuda.so, beside the addon.

enable_language(CUDA)

file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS native/backend/cuda/*.cu native/backend/cuda/*/*.cu native/backend/cuda/*.cpp
  native/backend/cuda/*/*.cpp)
list(APPEND CUDA_SOURCES
  native/core/glibc_baseline.cpp
  native/core/resize.cpp
  native/core/resize_axis.cpp
)
set_source_files_properties(native/backend/cuda/plugin.cpp PROPERTIES
  COMPILE_DEFINITIONS ${ABI_DEFINITION})

if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
# Keeps what ptxas says of each kernel for test/cuda/check-ptxas.mjs; ccache repeats it on a hit.
set(PTXAS_LAUNCHER
  sh ${CMAKE_CURRENT_SOURCE_DIR}/tools/keep-ptxas.sh ${CMAKE_CUDA_COMPILER_LAUNCHER})

add_library(countenance_cuda MODULE EXCLUDE_FROM_ALL ${CUDA_SOURCES})
set_target_properties(countenance_cuda PROPERTIES
  PREFIX ""
  SUFFIX ".so"
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/Release
  CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden
  CUDA_COMPILER_LAUNCHER "${PTXAS_LAUNCHER}"
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
# What the CUDA runtime calls beyond WRAPPED_FUNCTIONS: native/backend/cuda/device/cudart_baseline.cpp.
set(WRAPPED_BY_CUDART
  pthread_condattr_setpshared pthread_kill pthread_mutex_trylock
  pthread_mutexattr_destroy pthread_mutexattr_init
  pthread_mutexattr_setpshared pthread_mutexattr_settype
  pthread_rwlock_destroy pthread_rwlock_init pthread_rwlock_rdlock
  pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock
  pthread_rwlock_tryrdlock pthread_rwlock_trywrlock
  pthread_rwlock_unlock pthread_rwlock_wrlock
  pthread_rwlockattr_destroy pthread_rwlockattr_init pthread_rwlockattr_setpshared
  pthread_spin_destroy pthread_spin_init pthread_spin_lock
  pthread_spin_trylock pthread_spin_unlock
  sem_destroy sem_init sem_post sem_timedwait sem_trywait sem_wait
  shm_open shm_unlink
  dlmopen dlvsym
)
list(TRANSFORM WRAPPED_BY_CUDART PREPEND -Wl,--wrap=)
target_link_options(countenance_cuda PRIVATE
  -Wl,-z,nodelete -Wl,-z,defs ${PORTABLE_LINK_OPTIONS} ${WRAPPED_BY_CUDART})
