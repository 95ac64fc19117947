// Does what core/glibc_baseline.cpp does, for the functions called by the CUDA runtime, which is
// linked into the plugin: tools/cuda-plugin.cmake links it with --wrap for each of them.
#include <cstdint>  // also defines __GLIBC__

#if defined(__linux__) && defined(__GLIBC__) && defined(__x86_64__)

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

// A jump to the version in the first glibc. It needs no prototype: whatever the arguments are, they
// stay where the caller put them.
#define FORWARD_TO(version, name)                           \
  __asm__(".symver old_" #name ", " #name "@GLIBC_" version \
          "\n"                                              \
          ".pushsection .text\n"                            \
          ".globl __wrap_" #name                            \
          "\n"                                              \
          ".hidden __wrap_" #name                           \
          "\n"                                              \
          ".type __wrap_" #name                             \
          ", @function\n"                                   \
          "__wrap_" #name ": jmp old_" #name                \
          "@PLT\n"                                          \
          ".size __wrap_" #name ", . - __wrap_" #name       \
          "\n"                                              \
          ".popsection")
#define FORWARD(name) FORWARD_TO("2.2.5", name)

// In libpthread until 2.34.
FORWARD(pthread_condattr_setpshared);
FORWARD(pthread_kill);
FORWARD(pthread_mutex_trylock);
FORWARD(pthread_mutexattr_destroy);
FORWARD(pthread_mutexattr_init);
FORWARD(pthread_mutexattr_setpshared);
FORWARD(pthread_mutexattr_settype);
FORWARD(pthread_rwlock_destroy);
FORWARD(pthread_rwlock_init);
FORWARD(pthread_rwlock_rdlock);
FORWARD(pthread_rwlock_timedrdlock);
FORWARD(pthread_rwlock_timedwrlock);
FORWARD(pthread_rwlock_tryrdlock);
FORWARD(pthread_rwlock_trywrlock);
FORWARD(pthread_rwlock_unlock);
FORWARD(pthread_rwlock_wrlock);
FORWARD(pthread_rwlockattr_destroy);
FORWARD(pthread_rwlockattr_init);
FORWARD(pthread_rwlockattr_setpshared);
FORWARD(pthread_spin_destroy);
FORWARD(pthread_spin_init);
FORWARD(pthread_spin_lock);
FORWARD(pthread_spin_trylock);
FORWARD(pthread_spin_unlock);
FORWARD(sem_destroy);
FORWARD(sem_init);
FORWARD(sem_post);
FORWARD(sem_timedwait);
FORWARD(sem_trywait);
FORWARD(sem_wait);

// In libdl until 2.34.
FORWARD(dlvsym);
FORWARD_TO("2.3.4", dlmopen);

#define WRAPPED extern "C" __attribute__((visibility("hidden")))

// In librt until 2.34, which Node does not load: a shared memory name is a name in /dev/shm.
namespace {
std::string shared_memory_path(const char* name) {
  while (*name == '/') ++name;
  return std::string("/dev/shm/") + name;
}
}  // namespace
WRAPPED int __wrap_shm_open(const char* name, int flags, mode_t mode) {
  return open(shared_memory_path(name).c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode);
}
WRAPPED int __wrap_shm_unlink(const char* name) { return unlink(shared_memory_path(name).c_str()); }

#endif
