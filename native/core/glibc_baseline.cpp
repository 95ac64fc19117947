// Lets binaries built on a recent Linux run with glibc 2.28, which Node's own binaries also need.
// Since then glibc has given a few functions new versions that do the same. The build links with
// --wrap for each of them (CMakeLists.txt), which redirects calls here, and from here they go to
// the version that old systems also have. tools/check-binary.mjs checks that none was forgotten.
#include <cstdint>  // and with it __GLIBC__

#if defined(__linux__) && defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <pthread.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
constexpr int kStatVersion = 1;
#else
#define FIRST_VERSION "GLIBC_2.17"
constexpr int kStatVersion = 0;
#endif

#define WRAPPED extern "C" __attribute__((visibility("hidden")))

// Calls to `name` go to the version in the first glibc for this processor.
#define FORWARD(result, name, parameters, arguments)                       \
  extern "C" result old_##name parameters;                                 \
  __asm__(".symver old_" #name ", " #name "@" FIRST_VERSION);              \
  WRAPPED result __wrap_##name parameters { return old_##name arguments; } \
  static_assert(true)

// In libpthread until 2.34.
using Start = void* (*)(void*);
using Destructor = void (*)(void*);
using Routine = void (*)();
FORWARD(int, pthread_create,
        (pthread_t * thread, const pthread_attr_t* attributes, Start start, void* argument),
        (thread, attributes, start, argument));
FORWARD(int, pthread_join, (pthread_t thread, void** result), (thread, result));
FORWARD(int, pthread_detach, (pthread_t thread), (thread));
FORWARD(int, pthread_once, (pthread_once_t * control, Routine routine), (control, routine));
FORWARD(int, pthread_key_create, (pthread_key_t * key, Destructor destructor), (key, destructor));
FORWARD(int, pthread_key_delete, (pthread_key_t key), (key));
FORWARD(void*, pthread_getspecific, (pthread_key_t key), (key));
FORWARD(int, pthread_setspecific, (pthread_key_t key, const void* value), (key, value));
FORWARD(int, pthread_sigmask, (int how, const sigset_t* set, sigset_t* before), (how, set, before));
// libstdc++ looks up this name to tell whether there are threads.
WRAPPED int __wrap___pthread_key_create(pthread_key_t* key, Destructor destructor) {
  return old_pthread_key_create(key, destructor);
}

// In libdl until 2.34.
FORWARD(void*, dlopen, (const char* path, int flags), (path, flags));
FORWARD(void*, dlsym, (void* library, const char* name), (library, name));
FORWARD(int, dlclose, (void* library), (library));
FORWARD(char*, dlerror, (), ());
FORWARD(int, dladdr, (const void* address, void* info), (address, info));

// Without SVID's error handling since 2.29.
FORWARD(double, exp, (double x), (x));
FORWARD(double, log, (double x), (x));
FORWARD(double, pow, (double x, double y), (x, y));

// The rest is libstdc++'s. fstat64 was an inline function until 2.33.
extern "C" int __fxstat64(int version, int file, struct stat64* status);
WRAPPED int __wrap_fstat64(int file, struct stat64* status) {
  return __fxstat64(kStatVersion, file, status);
}

// The seed of std::random_device.
WRAPPED uint32_t __wrap_arc4random() {
  uint32_t word = 0;
  while (getrandom(&word, sizeof word, 0) != sizeof word) {
  }
  return word;
}

// Whether shared_ptr may count without atomic instructions: never.
WRAPPED char __wrap___libc_single_threaded;
char __wrap___libc_single_threaded = 0;

#endif
