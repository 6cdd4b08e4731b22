// What the victims share: small programs that do to their listening sockets what real ones do.
// Each answers a connection with its process id, a line, and closes it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// A check that does not hold ends the program, which says where.
#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      int error_ = errno;                                                             \
      printf("report %s line %d does not hold: %s (errno %d, %s)\n", __FILE__, __LINE__, \
             #condition, error_, strerror(error_));                                   \
      fflush(stdout);                                                                 \
      exit(1);                                                                        \
    }                                                                                 \
  } while (0)

// A call that must fail, with this error number.
#define FAILS(error, call)                  \
  do {                                      \
    errno = 0;                              \
    CHECK((call) == -1 && errno == (error)); \
  } while (0)

// Tells the test something.
#define REPORT(...)        \
  do {                     \
    printf("report ");     \
    printf(__VA_ARGS__);   \
    printf("\n");          \
    fflush(stdout);        \
  } while (0)

static inline int number_in(const char *variable) {
  const char *text = getenv(variable);
  CHECK(text);
  return atoi(text);
}

union address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
  struct sockaddr_un path;
  struct sockaddr_storage room;
};

static inline socklen_t any_address(union address *address, int family, int port) {
  memset(address, 0, sizeof *address);
  if (family == AF_INET6) {
    address->six.sin6_family = AF_INET6;
    address->six.sin6_port = htons(port);
    return sizeof address->six;
  }
  address->four.sin_family = AF_INET;
  address->four.sin_port = htons(port);
  address->four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return sizeof address->four;
}

// A socket that is bound to this port: of all addresses for IPv6, of the loopback one for IPv4.
static inline int bound(int family, int port, int flags) {
  int fd = socket(family, SOCK_STREAM | flags, 0);
  CHECK(fd >= 0);
  int yes = 1;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  union address address;
  socklen_t len = any_address(&address, family, port);
  CHECK(bind(fd, &address.any, len) == 0);
  return fd;
}

static inline int listener(int port, int flags) {
  int fd = bound(AF_INET, port, flags);
  CHECK(listen(fd, 128) == 0);
  return fd;
}

static inline int connected(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  union address address;
  socklen_t len = any_address(&address, AF_INET, port);
  CHECK(connect(fd, &address.any, len) == 0);
  return fd;
}

static inline void answer(int client) {
  CHECK(client >= 0);
  dprintf(client, "%d\n", getpid());
  close(client);
}

// Serves with blocking calls, for ever.
static inline void serve(int fd) {
  for (;;) answer(accept(fd, NULL, NULL));
}

// Serves when poll says so, without blocking, for ever.
static inline void serve_polled(int fd) {
  CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, -1) == 1);
    int client = accept(fd, NULL, NULL);
    if (client >= 0)
      answer(client);
    else
      CHECK(errno == EAGAIN);
  }
}

// Closes out of everybody's sight: no libc function sees it.
static inline void close_unseen(int fd) {
  long result;
#if defined(__x86_64__)
  __asm__ volatile("syscall" : "=a"(result) : "a"(3L), "D"((long)fd) : "rcx", "r11", "memory");
#else
#error "close_unseen knows x86-64 only"
#endif
  CHECK(result == 0);
}
