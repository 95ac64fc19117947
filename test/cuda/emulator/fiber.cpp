// Compiled without -fsanitize=thread even in the ThreadSanitizer build (which EMULATOR_TSAN
// indicates): the scheduler's own memory must stay out of its sight.
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

#if !defined(__x86_64__)
#error "the fiber emulator switches stacks in x86-64 assembly"
#endif

// Saves the callee-saved registers of the System V calling convention on the running stack, whose
// pointer goes to *save, and continues on the stack `to`, which was left the same way.
extern "C" void emulator_switch_stack(void** save, void* to);
asm(R"(
.text
.type emulator_switch_stack, @function
emulator_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emulator_switch_stack, . - emulator_switch_stack
)");

namespace emulator {

namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr size_t kGuardBytes = 4096;  // an overflowing stack faults instead of damaging another
constexpr int kSavedRegisters = 6;

// The running fiber, and where the scheduler waits meanwhile.
Fiber* running = nullptr;
void* scheduler_pointer = nullptr;
#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake_stack = nullptr;
const void* scheduler_bottom = nullptr;
size_t scheduler_size = 0;
#endif
#if defined(EMULATOR_TSAN)
void* scheduler_tsan_fiber = nullptr;
constexpr unsigned kOrdered = 0;
constexpr unsigned kUnordered = __tsan_switch_to_fiber_no_sync;
#endif

Fiber::Entry entry_of_next = nullptr;

void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
  entry_of_next();
  Fiber::finish();
}

}  // namespace

Fiber::~Fiber() {
  if (stack_) munmap(stack_, kStackBytes);
#if defined(EMULATOR_TSAN)
  if (tsan_fiber_) __tsan_destroy_fiber(tsan_fiber_);
#endif
}

Fiber::Fiber(Fiber&& other) noexcept
    : stack_(std::exchange(other.stack_, nullptr)),
      stack_pointer_(std::exchange(other.stack_pointer_, nullptr)),
      inside_(other.inside_),
      fake_stack_(std::exchange(other.fake_stack_, nullptr)),
      tsan_fiber_(std::exchange(other.tsan_fiber_, nullptr)) {}

void Fiber::start(Entry entry) {
  if (!stack_) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<char*>(memory);
    mprotect(stack_, kGuardBytes, PROT_NONE);
#if defined(EMULATOR_TSAN)
    tsan_fiber_ = __tsan_create_fiber(0);
#endif
  }
#if defined(__SANITIZE_ADDRESS__)
  // An abandoned run left the red zones of its frames behind.
  if (inside_) __asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes - kGuardBytes);
#endif
  inside_ = true;
  entry_of_next = entry;
  // As emulator_switch_stack leaves a stack: saved registers, then where to return to. At a
  // function's first instruction the stack pointer is 8 bytes past a multiple of 16.
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&enter);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  stack_pointer_ = top;
  fake_stack_ = nullptr;
}

void Fiber::resume() {
  running = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, stack_, kStackBytes);
#endif
#if defined(EMULATOR_TSAN)
  scheduler_tsan_fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, kUnordered);
#endif
  emulator_switch_stack(&scheduler_pointer, stack_pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::yield() {
  Fiber* self = running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&self->fake_stack_, scheduler_bottom, scheduler_size);
#endif
#if defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(scheduler_tsan_fiber, kUnordered);
#endif
  emulator_switch_stack(&self->stack_pointer_, scheduler_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self->fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::finish() {
  running->inside_ = false;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, scheduler_bottom, scheduler_size);
#endif
#if defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(scheduler_tsan_fiber, kUnordered);
#endif
  emulator_switch_stack(&running->stack_pointer_, scheduler_pointer);
  std::abort();  // a finished fiber is never resumed
}

#if defined(EMULATOR_TSAN)
void Fiber::order_after_scheduler() {
  void* scheduler = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, kOrdered);
  __tsan_switch_to_fiber(scheduler, kUnordered);
}
void Fiber::order_before_scheduler() {
  void* scheduler = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, kUnordered);
  __tsan_switch_to_fiber(scheduler, kOrdered);
}
void tsan_release(void* object) { __tsan_release(object); }
void tsan_acquire(void* object) { __tsan_acquire(object); }
TsanBlindfold::TsanBlindfold() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
TsanBlindfold::~TsanBlindfold() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
void Fiber::order_after_scheduler() {}
void Fiber::order_before_scheduler() {}
void tsan_release(void*) {}
void tsan_acquire(void*) {}
TsanBlindfold::TsanBlindfold() = default;
TsanBlindfold::~TsanBlindfold() = default;
#endif

}  // namespace emulator
