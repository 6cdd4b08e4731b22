// Listeners that are accepted from by somebody else than who opened them. The last word tells how
// they are accepted from: by a blocking accept, by poll and an accept that does not block, or by
// poll and one that would.
//
//   heirs daemon|exec|slow|passed|copy|helper blocking|polled|mixed
#include "victim.h"

static const char *way;

static void serve_somehow(int fd) {
  CHECK(listen(fd, 64) == 0);
  if (!strcmp(way, "polled")) serve_polled(fd);
  if (!strcmp(way, "mixed")) {
    for (;;) {
      struct pollfd ready = {.fd = fd, .events = POLLIN};
      CHECK(poll(&ready, 1, -1) == 1);
      answer(accept(fd, NULL, NULL));
    }
  }
  serve(fd);
}

static int forked(void) {
  int pid = fork();
  CHECK(pid >= 0);
  return pid;
}

// Becomes this program anew, with a listener that it does not know of.
static void become_heir(char *program, int fd) {
  char number[16];
  snprintf(number, sizeof number, "%d", fd);
  execl(program, program, "heir", way, number, NULL);
  CHECK(!"exec");
}

// What a program finds out of a listener that it was given.
static void check(int fd) {
  union address address;
  socklen_t len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0 && len == sizeof address.four);
  CHECK(ntohs(address.four.sin_port) == number_in("PORT"));
  FAILS(ENOTCONN, getpeername(fd, &address.any, &len));
  int value = -1;
  len = sizeof value;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) == 0 && value == SOCK_STREAM);
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value == 1);
  CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value == 0);
}

static void daemonise(int fd) {
  // The pipe closes when the parent has ended.
  int pipes[2];
  char byte;
  CHECK(pipe(pipes) == 0);
  if (forked()) _exit(0);
  CHECK(setsid() > 0 && close(pipes[1]) == 0 && read(pipes[0], &byte, 1) == 0);
  serve_somehow(fd);
}

static void pass(int to, int fd) {
  char space[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                           .msg_controllen = sizeof space};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  CHECK(sendmsg(to, &message, 0) == 1);
}

static int receive(int from) {
  int fd;
  char space[CMSG_SPACE(sizeof fd)], byte;
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                           .msg_controllen = sizeof space};
  CHECK(recvmsg(from, &message, 0) == 1 && CMSG_FIRSTHDR(&message));
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

int main(int argc, char **argv) {
  CHECK(argc >= 3);
  const char *what = argv[1];
  way = argv[2];
  if (!strcmp(what, "heir")) {
    int fd = atoi(argv[3]);
    check(fd);
    serve_somehow(fd);
  }
  if (!strcmp(what, "receiver")) {
    int fd = receive(atoi(argv[3]));
    check(fd);
    serve_somehow(fd);
  }
  if (!strcmp(what, "daemon")) {
    // Not the instance itself, which would be started anew: a child of it.
    if (forked() == 0) daemonise(listener(number_in("PORT"), 0));
    int status;
    CHECK(wait(&status) > 0 && status == 0);
    pause();
  }
  if (!strcmp(what, "passed")) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    if (forked() == 0) {
      char number[16];
      snprintf(number, sizeof number, "%d", pair[1]);
      execl(argv[0], argv[0], "receiver", way, number, NULL);
    }
    int fd = listener(number_in("PORT"), 0);
    pass(pair[0], fd);
    CHECK(close(fd) == 0);
    pause();
  }

  int fd = listener(number_in("PORT"), 0);
  if (!strcmp(what, "exec")) become_heir(argv[0], fd);
  if (!strcmp(what, "slow")) {
    if (forked() == 0) {
      // A program that takes its time to start, longer than a closed listener is kept.
      poll(NULL, 0, 3500);
      become_heir(argv[0], fd);
    }
    CHECK(close(fd) == 0);
    pause();
  }
  if (!strcmp(what, "copy")) {
    int copy = dup(fd);
    CHECK(copy >= 0 && close(fd) == 0);
    serve_somehow(copy);
  }
  if (!strcmp(what, "helper")) {
    // Has the listener too, and never accepts. It outlives the worker.
    if (forked() == 0) {
      CHECK(setsid() > 0);
      for (;;) pause();
    }
    serve_somehow(fd);
  }
}
