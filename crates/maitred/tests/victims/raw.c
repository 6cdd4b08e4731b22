// Listens on PORT with system calls of its own, which no library sees, as programs in Go do.
#include "victim.h"

static long raw(long number, long a, long b, long c) {
  long result;
#if defined(__x86_64__)
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
#else
#error "raw knows x86-64 only"
#endif
  CHECK(result >= 0);
  return result;
}

int main(void) {
  long fd = raw(41, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // socket
  union address address;
  socklen_t len = any_address(&address, AF_INET, number_in("PORT"));
  raw(49, fd, (long)&address, len);  // bind
  raw(50, fd, 16, 0);                // listen
  REPORT("listening");
  for (;;) answer(raw(43, fd, 0, 0));  // accept
}
