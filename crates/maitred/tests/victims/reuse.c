// A listener that is closed in all the ways there are, seen and unseen, and what its number serves
// afterwards. Run without maitred, this shows that the checks are right.
//
//   reuse             needs two ports, PORT and OTHER_PORT
#include "victim.h"

#include <sys/syscall.h>

static int port, other_port;

static int option(int fd, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  CHECK(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0);
  return value;
}

static int port_of(int fd) {
  union address address;
  socklen_t len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0);
  CHECK(address.any.sa_family == AF_INET && len == sizeof address.four);
  return ntohs(address.four.sin_port);
}

// The listener works, whoever else had its number or its port before.
static void works(int fd, int at) {
  CHECK(port_of(fd) == at);
  CHECK(option(fd, SO_ACCEPTCONN) == 1);
  int client = connected(at);
  answer(accept(fd, NULL, NULL));
  char text[16] = "";
  CHECK(read(client, text, sizeof text) > 0 && atoi(text) == getpid());
  CHECK(close(client) == 0);
}

// Something else has taken the number of a listener.
static int instead(int fd, int other) {
  if (other != fd) {
    CHECK(other >= 0 && dup2(other, fd) == fd);
    CHECK(close(other) == 0);
  }
  return fd;
}

static void a_udp_socket(int fd) {
  instead(fd, socket(AF_INET, SOCK_DGRAM, 0));
  CHECK(port_of(fd) == 0);
  CHECK(option(fd, SO_TYPE) == SOCK_DGRAM && option(fd, SO_ACCEPTCONN) == 0);
  CHECK(option(fd, SO_DOMAIN) == AF_INET && option(fd, SO_PROTOCOL) == IPPROTO_UDP);
  union address address;
  socklen_t len = any_address(&address, AF_INET, 0);
  FAILS(ENOTCONN, getpeername(fd, &address.any, &len));
  len = any_address(&address, AF_INET, 0);
  CHECK(bind(fd, &address.any, len) == 0);
  int yes = 1, at = port_of(fd);
  CHECK(at != 0 && at != port);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) == 0);
  CHECK(option(fd, SO_BROADCAST) == 1);
  len = any_address(&address, AF_INET, at);
  CHECK(sendto(fd, "hello", 5, 0, &address.any, len) == 5);
  char text[8] = "";
  CHECK(recv(fd, text, sizeof text, 0) == 5 && !memcmp(text, "hello", 5));
  CHECK(connect(fd, &address.any, len) == 0);
  CHECK(getpeername(fd, &address.any, &len) == 0);
  FAILS(EOPNOTSUPP, listen(fd, 1));
  CHECK(close(fd) == 0);
}

static void a_client(int fd) {
  // The server must not get the number that the client is to have.
  int null = open("/dev/null", O_RDONLY), server = listener(other_port, 0);
  close_unseen(null);
  instead(fd, connected(other_port));
  int peer = accept(server, NULL, NULL);
  union address address;
  socklen_t len = sizeof address;
  CHECK(getpeername(fd, &address.any, &len) == 0 && ntohs(address.four.sin_port) == other_port);
  CHECK(port_of(fd) != port && port_of(fd) != 0);
  CHECK(option(fd, SO_ACCEPTCONN) == 0 && option(fd, SO_ERROR) == 0);
  int yes = 1;
  CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
  char text[8] = "";
  CHECK(send(fd, "ping", 4, 0) == 4 && recv(peer, text, sizeof text, 0) == 4);
  CHECK(send(peer, "pong", 4, 0) == 4 && recv(fd, text, sizeof text, 0) == 4);
  FAILS(EINVAL, listen(fd, 1));
  CHECK(close(fd) == 0);
  CHECK(recv(peer, text, sizeof text, 0) == 0);
  CHECK(close(peer) == 0 && close(server) == 0);
}

static void a_pipe(int fd) {
  int pipes[2];
  CHECK(pipe(pipes) == 0);
  if (pipes[0] != fd) instead(fd, pipes[0]);
  union address address;
  socklen_t len = sizeof address;
  int value;
  FAILS(ENOTSOCK, accept(fd, NULL, NULL));
  FAILS(ENOTSOCK, getsockname(fd, &address.any, &len));
  FAILS(ENOTSOCK, getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
  FAILS(ENOTSOCK, listen(fd, 1));
  CHECK(write(pipes[1], "x", 1) == 1 && close(pipes[1]) == 0);
  char text[8];
  CHECK(read(fd, text, sizeof text) == 1 && read(fd, text, sizeof text) == 0);
  CHECK(close(fd) == 0);
}

static void a_fresh_socket(int fd) {
  instead(fd, socket(AF_INET, SOCK_STREAM, 0));
  CHECK(port_of(fd) == 0 && option(fd, SO_ACCEPTCONN) == 0);
  FAILS(EINVAL, accept(fd, NULL, NULL));
  // It is bound to nothing, so the kernel chooses its port.
  CHECK(listen(fd, 1) == 0);
  CHECK(port_of(fd) != 0 && port_of(fd) != port && port_of(fd) != other_port);
  works(fd, port_of(fd));
  CHECK(close(fd) == 0);
}

static void another_listener(int fd) {
  instead(fd, listener(other_port, 0));
  works(fd, other_port);
  CHECK(close(fd) == 0);
}

// One that came to be without any function of libc, as `syscall` with other numbers shows: here a
// descriptor is received that listens already.
static void a_listener_from_elsewhere(int fd, int family) {
  // The number is not to be used before.
  int null = open("/dev/null", O_RDONLY), pair[2], child;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK((child = fork()) >= 0);
  char space[CMSG_SPACE(sizeof fd)], byte = 0;
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                           .msg_controllen = sizeof space};
  if (child == 0) {
    // A port of the kernel's choice, or a name: neither is shared.
    int made = socket(family, family == AF_UNIX ? SOCK_SEQPACKET : SOCK_STREAM, 0);
    struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    if (family == AF_UNIX)
      CHECK(bind(made, (struct sockaddr *)&unnamed, sizeof unnamed.sun_family) == 0);
    CHECK(listen(made, 16) == 0);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof made);
    memcpy(CMSG_DATA(rights), &made, sizeof made);
    CHECK(sendmsg(pair[1], &message, 0) == 1);
    _exit(0);
  }
  CHECK(recvmsg(pair[0], &message, 0) == 1);
  int received;
  memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof received);
  instead(fd, received);
  if (null != fd) close_unseen(null);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
  union address address;
  socklen_t len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0 && address.any.sa_family == family);
  CHECK(option(fd, SO_ACCEPTCONN) == 1);
  int client = socket(family, family == AF_UNIX ? SOCK_SEQPACKET : SOCK_STREAM, 0);
  CHECK(connect(client, &address.any, len) == 0);
  answer(accept(fd, NULL, NULL));
  char text[16] = "";
  CHECK(read(client, text, sizeof text) > 0 && atoi(text) == getpid());
  CHECK(close(client) == 0 && close(fd) == 0);
}

static void others(int fd, int which) {
  switch (which) {
    case 0: return a_udp_socket(fd);
    case 1: return a_client(fd);
    case 2: return a_pipe(fd);
    case 3: return a_fresh_socket(fd);
    case 4: return another_listener(fd);
    case 5: return a_listener_from_elsewhere(fd, AF_INET);
    case 6: return a_listener_from_elsewhere(fd, AF_UNIX);
  }
}
#define OTHERS 7

// The ways of closing. The last ones pass by every function that is taken over.
static void close_somehow(int fd, int way) {
  int null;
  switch (way) {
    case 0: CHECK(close(fd) == 0); return;
    case 1: CHECK(syscall(SYS_close, fd) == 0); return;
    case 2: close_unseen(fd); return;
    case 3: CHECK(syscall(SYS_close_range, fd, fd, 0) == 0); return;
    case 4:
      CHECK((null = open("/dev/null", O_RDONLY)) >= 0 && dup2(null, fd) == fd);
      CHECK(close(null) == 0 && close(fd) == 0);
      return;
  }
}
#define WAYS 5

int main(int argc, char **argv) {
  port = number_in("PORT");
  other_port = number_in("OTHER_PORT");
  if (argc == 1) {
    for (int way = 0; way < WAYS; way++) {
      for (int which = 0; which < OTHERS; which++) {
        // Listening, and bound only.
        int fd = listener(port, 0);
        works(fd, port);
        close_somehow(fd, way);
        others(fd, which);
        fd = bound(AF_INET, port, 0);
        CHECK(port_of(fd) == port);
        close_somehow(fd, way);
        others(fd, which);
      }
    }
    // Another program with the same process id, which does not know what this one had.
    int fd = listener(port, SOCK_CLOEXEC);
    works(fd, port);
    fd = bound(AF_INET, other_port, SOCK_CLOEXEC);
    CHECK(execl(argv[0], argv[0], "again", NULL) == 0);
  }
  int fd = listener(port, 0);
  works(fd, port);
  CHECK(close(fd) == 0);
  fd = listener(other_port, 0);
  works(fd, other_port);
  REPORT("all checks hold");
}
