// What a program may ask of its listener, and what it must be answered. Run without maitred, this
// shows that the checks are right; run under it, that its listener is a listener in all of them.
//
//   fake_listener 4|6 [nonblock] [cloexec]
#include "victim.h"

#include <sys/syscall.h>

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &len) == 0);
  CHECK(len == sizeof value);
  return value;
}

static void set(int fd, int level, int name, int value) {
  CHECK(setsockopt(fd, level, name, &value, sizeof value) == 0);
}

static int port_of(int fd) {
  union address address;
  socklen_t len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0);
  return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

static int status(int fd) { return fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE); }

// The next connection. A listener that does not block may be told of it a moment later.
static int next(int fd, union address *address, socklen_t *len, int flags) {
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, 20000) == 1);
    CHECK((ready.revents & ~POLLIN) == 0);
    int client = accept4(fd, address ? &address->any : NULL, len, flags);
    if (client >= 0) return client;
    CHECK(errno == EAGAIN);
  }
}

static void check_names(int fd, int family, int port) {
  union address address, whole;
  socklen_t length = any_address(&address, family, port), len = sizeof whole;
  memset(&whole, 0xee, sizeof whole);
  CHECK(getsockname(fd, &whole.any, &len) == 0);
  CHECK(len == length);
  CHECK(memcmp(&whole, &address, length) == 0);
  CHECK(((unsigned char *)&whole)[length] == 0xee);

  memset(&whole, 0xee, sizeof whole);
  len = 4;
  CHECK(getsockname(fd, &whole.any, &len) == 0);
  CHECK(len == length);
  CHECK(memcmp(&whole, &address, 4) == 0);
  CHECK(((unsigned char *)&whole)[4] == 0xee);

  len = 0;
  CHECK(getsockname(fd, &whole.any, &len) == 0);
  CHECK(len == length);
  len = sizeof whole;
  FAILS(EFAULT, getsockname(fd, NULL, &len));
  FAILS(ENOTCONN, getpeername(fd, &whole.any, &len));
}

static void check_options(int fd, int family, int nonblock) {
  CHECK(option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1);
  CHECK(option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
  CHECK(option(fd, SOL_SOCKET, SO_DOMAIN) == family);
  CHECK(option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
  CHECK(option(fd, SOL_SOCKET, SO_ERROR) == 0);
  CHECK(option(fd, SOL_SOCKET, SO_REUSEADDR) == 1);

  // Set before and after listen.
  CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
  set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
  CHECK(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 1);
  set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
  set(fd, IPPROTO_TCP, TCP_FASTOPEN, 16);
  CHECK(option(fd, IPPROTO_TCP, TCP_FASTOPEN) == 16);
  set(fd, SOL_SOCKET, SO_RCVBUF, 100000);
  CHECK(option(fd, SOL_SOCKET, SO_RCVBUF) == 200000);
  struct linger linger = {.l_onoff = 1, .l_linger = 3}, lingers = {0};
  socklen_t len = sizeof lingers;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  CHECK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, &len) == 0);
  CHECK(len == sizeof lingers && lingers.l_onoff == 1 && lingers.l_linger == 3);
  linger.l_onoff = 0;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);

  // Room for less than a whole value.
  unsigned char byte[2] = {0, 0xee};
  len = 1;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, byte, &len) == 0);
  CHECK(len == 1 && byte[0] == SOCK_STREAM && byte[1] == 0xee);

  int value = 1;
  len = sizeof value;
  FAILS(ENOPROTOOPT, setsockopt(fd, IPPROTO_TCP, 9999, &value, len));
  FAILS(ENOPROTOOPT, getsockopt(fd, IPPROTO_TCP, 9999, &value, &len));
  FAILS(EINVAL, setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 1));
  FAILS(EFAULT, setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, NULL, len));
  FAILS(EFAULT, getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, NULL));

  // A time limit for accept.
  struct timeval limit = {.tv_usec = 50000}, none = {0}, seen;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  len = sizeof seen;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &seen, &len) == 0);
  CHECK(len == sizeof seen && seen.tv_sec == 0 && seen.tv_usec >= 50000 && seen.tv_usec < 60000);
  FAILS(EAGAIN, accept(fd, NULL, NULL));
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none) == 0);
  (void)nonblock;
}

// Nothing has come: not readable, and a listener is never writable.
static void check_idle(int fd, int nonblock) {
  struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
  CHECK(poll(&ready, 1, 0) == 0);
  if (nonblock) {
    FAILS(EAGAIN, accept(fd, NULL, NULL));
    FAILS(EAGAIN, accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
}

static void check_errors(int fd, int family, int port) {
  // Not musl's function, which takes EINVAL for an old kernel's, and waits in accept then.
  FAILS(EINVAL, syscall(SYS_accept4, fd, NULL, NULL, 1));
  FAILS(EBADF, accept4(-1, NULL, NULL, 0));
  FAILS(EBADF, accept4(-1, NULL, NULL, 1));
  FAILS(EBADF, accept(9999, NULL, NULL));
  FAILS(EBADF, listen(-1, 1));
  FAILS(EBADF, close(-1));
  union address address;
  socklen_t len = any_address(&address, family, port);
  FAILS(EBADF, bind(-1, &address.any, len));
  FAILS(EINVAL, bind(fd, &address.any, len));

  int pipes[2];
  CHECK(pipe(pipes) == 0);
  FAILS(ENOTSOCK, accept(pipes[0], NULL, NULL));
  FAILS(ENOTSOCK, listen(pipes[0], 1));
  FAILS(ENOTSOCK, getsockname(pipes[0], &address.any, &len));
  CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);

  int udp = socket(AF_INET, SOCK_DGRAM, 0);
  FAILS(EOPNOTSUPP, accept(udp, NULL, NULL));
  FAILS(EOPNOTSUPP, listen(udp, 1));
  CHECK(close(udp) == 0);

  // This process has the address already.
  int other = socket(family, SOCK_STREAM, 0);
  set(other, SOL_SOCKET, SO_REUSEADDR, 1);
  len = any_address(&address, family, port);
  FAILS(EADDRINUSE, bind(other, &address.any, len));
  CHECK(close(other) == 0);
  FAILS(EBADF, close(other));

  int stranger = socket(family, SOCK_STREAM, 0);
  len = any_address(&address, family, port);
  address.six.sin6_family = 250;
  CHECK(bind(stranger, &address.any, len) == -1);
  len = any_address(&address, family, port);
  FAILS(EINVAL, bind(stranger, &address.any, 4));
  FAILS(EFAULT, bind(stranger, NULL, len));
  FAILS(EINVAL, accept(stranger, NULL, NULL));
  CHECK(close(stranger) == 0);
}

static void check_accepting(int fd, int family, int port, int nonblock) {
  int client = connected(port);
  errno = 4711;
  int served = next(fd, NULL, NULL, 0);
  CHECK(nonblock || errno == 4711);
  CHECK(status(served) == O_RDWR);
  CHECK(fcntl(served, F_GETFD) == 0);
  CHECK(option(served, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(port_of(served) == port);
  CHECK(send(client, "x", 1, 0) == 1);
  char byte = 0;
  CHECK(recv(served, &byte, 1, 0) == 1 && byte == 'x');
  CHECK(close(served) == 0 && recv(client, &byte, 1, 0) == 0);
  CHECK(close(client) == 0);

  client = connected(port);
  served = next(fd, NULL, NULL, SOCK_NONBLOCK);
  CHECK(status(served) == (O_RDWR | O_NONBLOCK) && fcntl(served, F_GETFD) == 0);
  FAILS(EAGAIN, recv(served, &byte, 1, 0));
  CHECK(close(served) == 0 && close(client) == 0);

  client = connected(port);
  served = next(fd, NULL, NULL, SOCK_CLOEXEC);
  CHECK(status(served) == O_RDWR && fcntl(served, F_GETFD) == FD_CLOEXEC);
  CHECK(close(served) == 0 && close(client) == 0);

  client = connected(port);
  served = next(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  CHECK(status(served) == (O_RDWR | O_NONBLOCK) && fcntl(served, F_GETFD) == FD_CLOEXEC);
  CHECK(close(served) == 0 && close(client) == 0);

  // Who calls: the whole address, a part of it, nothing of it.
  for (int room = (int)sizeof(union address); room >= 0; room = room > 4 ? 4 : room - 4) {
    client = connected(port);
    union address own, peer, asked;
    memset(&peer, 0xee, sizeof peer);
    socklen_t own_len = sizeof own, len = room, asked_len = sizeof asked;
    CHECK(getsockname(client, &own.any, &own_len) == 0);
    served = next(fd, &peer, &len, 0);
    CHECK(getpeername(served, &asked.any, &asked_len) == 0);
    CHECK(len == asked_len);
    size_t written = len < (socklen_t)room ? len : (socklen_t)room;
    CHECK(memcmp(&peer, &asked, written) == 0);
    CHECK(((unsigned char *)&peer)[written] == 0xee || written == sizeof peer);
    if (family == AF_INET6) {
      CHECK(asked_len == sizeof asked.six && IN6_IS_ADDR_V4MAPPED(&asked.six.sin6_addr));
      CHECK(memcmp(&asked.six.sin6_addr.s6_addr[12], &own.four.sin_addr, 4) == 0);
      CHECK(asked.six.sin6_port == own.four.sin_port);
    } else {
      CHECK(asked_len == own_len && memcmp(&asked, &own, own_len) == 0);
    }
    CHECK(close(served) == 0 && close(client) == 0);
  }

  // Several at once, in the order in which they came.
  int clients[5];
  for (int i = 0; i < 5; i++) clients[i] = connected(port);
  for (int i = 0; i < 5; i++) {
    union address own, peer;
    socklen_t own_len = sizeof own, len = sizeof peer;
    CHECK(getsockname(clients[i], &own.any, &own_len) == 0);
    served = next(fd, &peer, &len, 0);
    CHECK(own.four.sin_port == (family == AF_INET6 ? peer.six.sin6_port : peer.four.sin_port));
    CHECK(close(served) == 0 && close(clients[i]) == 0);
  }
}

// One life of a listener, from socket to close.
static void check_all(int family, int port, int nonblock, int cloexec) {
  int fd = socket(family, SOCK_STREAM | (nonblock ? SOCK_NONBLOCK : 0) |
                              (cloexec ? SOCK_CLOEXEC : 0), 0);
  CHECK(fd >= 0);
  CHECK(port_of(fd) == 0);
  FAILS(EINVAL, accept(fd, NULL, NULL));
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  union address address;
  socklen_t len = any_address(&address, family, port);
  errno = 4711;
  CHECK(bind(fd, &address.any, len) == 0);
  CHECK(errno == 4711);
  check_names(fd, family, port);
  CHECK(option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0);
  FAILS(EINVAL, accept(fd, NULL, NULL));
  errno = 4711;
  CHECK(listen(fd, 128) == 0);
  CHECK(errno == 4711);
  CHECK(status(fd) == (O_RDWR | (nonblock ? O_NONBLOCK : 0)));
  CHECK(fcntl(fd, F_GETFD) == (cloexec ? FD_CLOEXEC : 0));

  check_names(fd, family, port);
  check_idle(fd, nonblock);
  check_options(fd, family, nonblock);
  check_errors(fd, family, port);
  check_accepting(fd, family, port, nonblock);
  CHECK(listen(fd, 5) == 0);
  check_names(fd, family, port);
  check_accepting(fd, family, port, nonblock);
  check_idle(fd, nonblock);
  errno = 4711;
  CHECK(close(fd) == 0);
  CHECK(errno == 4711);
  FAILS(EBADF, accept(fd, NULL, NULL));
  FAILS(EBADF, getsockname(fd, &address.any, &len));
}

int main(int argc, char **argv) {
  int family = 0, nonblock = 0, cloexec = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "4")) family = AF_INET;
    if (!strcmp(argv[i], "6")) family = AF_INET6;
    nonblock |= !strcmp(argv[i], "nonblock");
    cloexec |= !strcmp(argv[i], "cloexec");
  }
  int port = number_in("PORT");
  // The second life finds an address that the supervisor knows already, as a second worker does.
  for (int life = 0; life < 2; life++) check_all(family, port, nonblock, cloexec);
  REPORT("all checks hold");
}
