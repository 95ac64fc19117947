#pragma once

#include <cstddef>

namespace emulator {

// A thread of control with its own stack, switched to by hand: one CUDA thread. One OS thread runs
// all of them; whoever resumes a fiber is the scheduler.
//
// Under AddressSanitizer and ThreadSanitizer every switch is announced, so that they know the
// stacks and so that ThreadSanitizer treats each fiber as a thread, ordered with others only by
// tsan_release and tsan_acquire.
class Fiber {
 public:
  using Entry = void (*)();

  Fiber() = default;
  ~Fiber();
  Fiber(Fiber&& other) noexcept;
  Fiber& operator=(Fiber&&) = delete;

  // The next resume() runs entry on a clean stack; what the fiber did before is abandoned.
  void start(Entry entry);
  // Scheduler: runs the fiber until it yields or finishes.
  void resume();
  // Fiber: back to the scheduler; returns when it is resumed.
  static void yield();
  // Fiber: back to the scheduler for good.
  [[noreturn]] static void finish();

  // ThreadSanitizer: everything the scheduler did so far happens before what the fiber does next.
  void order_after_scheduler();
  // ThreadSanitizer: everything the fiber did happens before what the scheduler does next.
  void order_before_scheduler();

 private:
  char* stack_ = nullptr;
  void* stack_pointer_ = nullptr;
  bool inside_ = false;         // started and not finished
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* tsan_fiber_ = nullptr;  // ThreadSanitizer's
};

// What the running fiber did before release(object) happens before what any fiber does after its
// next acquire(object). Without ThreadSanitizer these do nothing.
void tsan_release(void* object);
void tsan_acquire(void* object);

// While one exists, ThreadSanitizer ignores this fiber: library functions that the scheduler calls
// (memmove, operator new) are always instrumented. Must not span a switch.
class TsanBlindfold {
 public:
  TsanBlindfold();
  ~TsanBlindfold();
  TsanBlindfold(const TsanBlindfold&) = delete;
  TsanBlindfold& operator=(const TsanBlindfold&) = delete;
};

}  // namespace emulator
