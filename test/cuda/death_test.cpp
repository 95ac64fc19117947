#include "death.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "harness/harness.h"

namespace countenance::test {

std::string death_of(const std::function<void()>& f) {
  int ends[2];
  ensure(pipe(ends) == 0, "no pipe");
  std::fflush(nullptr);
  const pid_t child = fork();
  ensure(child >= 0, "no process");
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    try {
      f();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "threw: %s\n", error.what());
      _exit(1);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string output;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
    output.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return output + (WIFSIGNALED(status) ? text("signal ", WTERMSIG(status))
                                       : text("exit ", WEXITSTATUS(status)));
}

TEST(a_death_is_told) {
  CHECK(death_of([] {}) == "exit 0");
  CHECK(death_of([] { _exit(7); }) == "exit 7");
  CHECK(death_of([] { fail(code::kInternal, "words"); }) == "threw: words\nexit 1");
}

}  // namespace countenance::test
