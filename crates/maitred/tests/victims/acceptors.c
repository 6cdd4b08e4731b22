// The ways in which servers wait for connections and take them.
//
//   acceptors WAY
#include "victim.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

static int port;

static void *serving(void *fd) {
  serve((int)(intptr_t)fd);
  return NULL;
}

static void in_thread(void *(*run)(void *), int fd) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, (void *)(intptr_t)fd) == 0);
}

// Takes all there is.
static void take_all(int fd) {
  int client;
  while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) answer(client);
  CHECK(errno == EAGAIN);
}

// Takes one, if there is still one.
static void take_one(int fd) {
  int client = accept(fd, NULL, NULL);
  if (client >= 0)
    answer(client);
  else
    CHECK(errno == EAGAIN);
}

#define DATA 0xfedcba9876543210

static int registered(int fd, uint32_t events) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = events, .data.u64 = DATA};
  CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  return epoll;
}

static void epoll_for_ever(int epoll, int fd, void (*take)(int)) {
  for (;;) {
    struct epoll_event event;
    int ready = epoll_wait(epoll, &event, 1, -1);
    if (ready < 0 && errno == EINTR) continue;
    CHECK(ready == 1);
    CHECK(event.data.u64 == DATA && (event.events & EPOLLIN));
    take(fd);
  }
}

// Until every thread has its epoll.
static pthread_barrier_t registering;

static void *epolling(void *fd) {
  int listener = (int)(intptr_t)fd;
  int epoll = registered(listener, EPOLLIN | EPOLLEXCLUSIVE);
  pthread_barrier_wait(&registering);
  epoll_for_ever(epoll, listener, take_one);
  return NULL;
}

static void select_for_ever(int fd) {
  for (;;) {
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(fd, &readable);
    FD_SET(fd, &writable);
    CHECK(select(fd + 1, &readable, &writable, NULL, NULL) >= 1);
    CHECK(FD_ISSET(fd, &readable));
    take_one(fd);
  }
}

// Registered before the socket listens, or is even bound.
static void registered_before(uint32_t events, void (*take)(int)) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  int epoll = registered(fd, events);
  int other = registered(fd, EPOLLIN);
  union address address;
  socklen_t len = any_address(&address, AF_INET, port);
  CHECK(bind(fd, &address.any, len) == 0);
  // A socket that does not listen yet has hung up. An edge that tells of it comes once.
  struct epoll_event event;
  CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && (event.events & EPOLLHUP));
  CHECK(listen(fd, 128) == 0);
  // Each registration is still there, under the number that it was made for.
  CHECK(epoll_wait(other, &event, 1, 0) == 0 || event.events == EPOLLIN);
  event.events = EPOLLIN;
  event.data.u64 = 0;
  CHECK(epoll_ctl(other, EPOLL_CTL_MOD, fd, &event) == 0);
  FAILS(EEXIST, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
  CHECK(epoll_ctl(other, EPOLL_CTL_DEL, fd, NULL) == 0);
  REPORT("listening");
  epoll_for_ever(epoll, fd, take);
}

static void oneshot(int fd) {
  int epoll = registered(fd, EPOLLIN | EPOLLONESHOT);
  for (;;) {
    struct epoll_event event;
    int ready = epoll_wait(epoll, &event, 1, -1);
    // It was stopped, and goes on.
    if (ready < 0 && errno == EINTR) continue;
    CHECK(ready == 1 && (event.events & EPOLLIN));
    take_one(fd);
    event.events = EPOLLIN | EPOLLONESHOT;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0);
  }
}

static void by_number(void) {
  int fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0), yes = 1;
  CHECK(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  union address address, name;
  socklen_t len = any_address(&address, AF_INET, port), name_len = sizeof name;
  CHECK(syscall(SYS_bind, fd, &address, len) == 0);
  CHECK(syscall(SYS_listen, fd, 128) == 0);
  CHECK(syscall(SYS_getsockname, fd, &name, &name_len) == 0);
  CHECK(name_len == len && memcmp(&name, &address, len) == 0);
  int value = 0;
  socklen_t value_len = sizeof value;
  CHECK(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &value_len) == 0);
  CHECK(value == 1);
  FAILS(EINVAL, syscall(SYS_accept4, fd, NULL, NULL, 1));
  FAILS(EBADF, syscall(SYS_close, -1));
  // All six arguments of a call that is not taken over.
  int pipes[2];
  CHECK(syscall(SYS_pipe2, pipes, O_NONBLOCK) == 0);
  CHECK(write(pipes[1], "abcdef", 6) == 6);
  int file = syscall(SYS_memfd_create, "six", 0);
  long long to = 3;
  CHECK(syscall(SYS_splice, pipes[0], NULL, file, &to, (size_t)4, 0) == 4 && to == 7);
  char text[8] = "";
  CHECK(pread(file, text, sizeof text, 0) == 7 && !memcmp(text, "\0\0\0abcd", 7));
  CHECK(syscall(SYS_close, pipes[0]) == 0 && syscall(SYS_close, pipes[1]) == 0);
  FAILS(EBADF, syscall(SYS_read, pipes[0], text, 1));
  REPORT("listening");
  for (int number = 0;; number++) {
    int client = number % 2 ? syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC)
                            : syscall(SYS_accept, fd, NULL, NULL);
    CHECK(client >= 0);
    dprintf(client, "%d\n", getpid());
    CHECK(syscall(SYS_close, client) == 0);
  }
}

static void interrupted(int number) { (void)number; }

// A timer interrupts each call again and again; some are made anew by the kernel, some not.
static void amid_signals(int fd, int flags) {
  struct sigaction action = {.sa_handler = interrupted, .sa_flags = flags};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  ualarm(1000, 1000);
  for (;;) {
    int client = accept(fd, NULL, NULL);
    if (client >= 0)
      answer(client);
    else
      CHECK(errno == EINTR && !(flags & SA_RESTART));
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const char *way = argv[1];
  port = number_in("PORT");
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(way, "level-before")) registered_before(EPOLLIN, take_one);
  if (!strcmp(way, "edge-before")) registered_before(EPOLLIN | EPOLLET, take_all);
  if (!strcmp(way, "number")) by_number();

  int blocks = !strcmp(way, "blocking") || !strcmp(way, "thread") || !strcmp(way, "threads") ||
               !strcmp(way, "signals") || !strcmp(way, "restart");
  int fd = listener(port, blocks ? 0 : SOCK_NONBLOCK);
  if (!strcmp(way, "exclusive")) {
    CHECK(pthread_barrier_init(&registering, NULL, 4) == 0);
    for (int i = 0; i < 3; i++) in_thread(epolling, fd);
    pthread_barrier_wait(&registering);
    REPORT("listening");
    pause();
  }
  REPORT("listening");
  if (!strcmp(way, "blocking")) serve(fd);
  if (!strcmp(way, "thread")) in_thread(serving, fd), pause();
  if (!strcmp(way, "threads")) {
    for (int i = 0; i < 12; i++) in_thread(serving, fd);
    pause();
  }
  if (!strcmp(way, "signals")) amid_signals(fd, 0);
  if (!strcmp(way, "restart")) amid_signals(fd, SA_RESTART);
  if (!strcmp(way, "poll")) serve_polled(fd);
  if (!strcmp(way, "select")) select_for_ever(fd);
  if (!strcmp(way, "level")) epoll_for_ever(registered(fd, EPOLLIN), fd, take_one);
  if (!strcmp(way, "edge")) epoll_for_ever(registered(fd, EPOLLIN | EPOLLET), fd, take_all);
  if (!strcmp(way, "edge-both"))
    epoll_for_ever(registered(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), fd, take_all);
  if (!strcmp(way, "oneshot")) oneshot(fd);
  CHECK(!"a way that is known");
}
