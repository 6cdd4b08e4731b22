// Wild pointers and impossible lengths, for each call that the library takes over: the kernel's
// answer, and no signal.
#include "victim.h"

#include <sys/syscall.h>

// Volatile, or the compiler would see that two of them are the same.
static void *volatile wild = (void *)1;
#define WILD wild

static void names(int fd) {
  union address address;
  socklen_t len = sizeof address, negative = -1, none = 0;
  FAILS(EFAULT, getsockname(fd, WILD, &len));
  FAILS(EFAULT, getsockname(fd, NULL, &len));
  FAILS(EFAULT, getsockname(fd, &address.any, WILD));
  FAILS(EFAULT, getsockname(fd, &address.any, NULL));
  FAILS(EINVAL, getsockname(fd, &address.any, &negative));
  CHECK(getsockname(fd, WILD, &none) == 0 && none == sizeof address.four);
  CHECK(getsockname(fd, &address.any, &len) == 0 && len == sizeof address.four);
}

static void options(int fd) {
  int value = 1;
  socklen_t len = sizeof value;
  FAILS(EFAULT, getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, WILD, &len));
  FAILS(EFAULT, getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, &len));
  FAILS(EFAULT, getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, WILD));
  FAILS(EFAULT, getsockopt(fd, SOL_SOCKET, SO_TYPE, WILD, &len));
  FAILS(EFAULT, setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, WILD, sizeof value));
  FAILS(EFAULT, setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, WILD, sizeof value));
  CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == 0);
}

static void accepted(int fd, int port) {
  union address address;
  socklen_t len = sizeof address, negative = -1;
  int client = connected(port);
  FAILS(EFAULT, accept(fd, WILD, &len));
  CHECK(close(client) == 0);
  client = connected(port);
  FAILS(EFAULT, accept4(fd, &address.any, WILD, SOCK_CLOEXEC));
  CHECK(close(client) == 0);
  client = connected(port);
  FAILS(EFAULT, syscall(SYS_accept4, fd, WILD, &len, 0));
  CHECK(close(client) == 0);
  client = connected(port);
  FAILS(EINVAL, accept(fd, &address.any, &negative));
  CHECK(close(client) == 0);
  client = connected(port);
  int peer = accept(fd, NULL, WILD);
  CHECK(peer >= 0);
  FAILS(EFAULT, getpeername(peer, WILD, &len));
  FAILS(EFAULT, getpeername(peer, &address.any, WILD));
  FAILS(EINVAL, getpeername(peer, &address.any, &negative));
  CHECK(getpeername(peer, &address.any, &len) == 0 && len == sizeof address.four);
  names(peer);
  options(peer);
  CHECK(close(client) == 0 && close(peer) == 0);
}

int main(void) {
  int port = number_in("PORT");
  int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
  union address address;
  socklen_t len = any_address(&address, AF_INET, port);
  CHECK(fd >= 0 && other >= 0);
  for (socklen_t size = 3; size <= 128; size += 5) FAILS(EFAULT, bind(fd, WILD, size));
  FAILS(EFAULT, bind(fd, NULL, len));
  FAILS(EFAULT, syscall(SYS_bind, fd, WILD, len));
  FAILS(EINVAL, bind(fd, WILD, -1));
  int yes = 1;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  CHECK(bind(fd, &address.any, len) == 0);
  names(fd);
  CHECK(listen(fd, 16) == 0);
  names(fd);
  options(fd);
  accepted(fd, port);
  len = sizeof address;
  FAILS(ENOTCONN, getpeername(fd, &address.any, &len));
  FAILS(ENOTCONN, getpeername(fd, WILD, &len));
  REPORT("all checks hold");
}
