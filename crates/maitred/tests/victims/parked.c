// A server that closes each connection after its response, in the way that the request's path names.
#include "victim.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static int fd_of_thread;

static void *closing(void *nothing) {
  CHECK(close(fd_of_thread) == 0);
  return nothing;
}

static void wait_for(int fd, int events) {
  struct pollfd ready = {.fd = fd, .events = events};
  CHECK(poll(&ready, 1, 20000) == 1);
}

// Shut down it reads the end, and is closed.
static void shut(int fd, int how) {
  CHECK(shutdown(fd, how) == 0);
  char byte;
  wait_for(fd, POLLIN);
  CHECK(read(fd, &byte, 1) <= 0);
  CHECK(close(fd) == 0);
}

static void serve_and_close(int fd) {
  char bytes[1024] = {0};
  CHECK(read(fd, bytes, sizeof bytes - 1) > 0);
  char way[32];
  CHECK(sscanf(bytes, "GET /%31s ", way) == 1);
#define IS(name) (strcmp(way, name) == 0)
  const char *closes = IS("told") ? "Connection: close\r\n" : "";
  const char *length = IS("unended") ? "9" : "2";
  char answer[128];
  int len = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n%sContent-Length: %s\r\n\r\nhi",
                     closes, length);
  CHECK(write(fd, answer, len) == len);
  if (IS("write")) return shut(fd, SHUT_WR);
  if (IS("both")) return shut(fd, SHUT_RDWR);
  if (IS("unread")) wait_for(fd, POLLIN);
  if (IS("gone")) wait_for(fd, POLLRDHUP);
  if (IS("half")) {
    wait_for(fd, POLLIN);
    CHECK(read(fd, bytes, 3) == 3);
  }
  if (IS("peeked")) {
    // Past the library.
    wait_for(fd, POLLIN);
    struct iovec piece = {.iov_base = bytes, .iov_len = 3};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    CHECK(recvmsg(fd, &message, 0) == 3);
  }
  if (IS("reset")) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
  }
  if (IS("child")) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(close(fd));
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    // What the child did is not to be seen here.
    shutdown(fd, SHUT_RD);
  }
  if (IS("thread")) {
    pthread_t thread;
    fd_of_thread = fd;
    CHECK(pthread_create(&thread, NULL, closing, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return;
  }
  // Without a word to the epoll, which forgets what is closed.
  CHECK(close(fd) == 0);
}

int main(void) {
  int server = listener(number_in("PORT"), SOCK_NONBLOCK);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = -1};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0);
  int open = -1;
  for (;;) {
    CHECK(epoll_wait(epoll, &event, 1, -1) == 1);
    if (event.data.fd == -1) {
      int client = accept(server, NULL, NULL);
      if (client < 0) {
        CHECK(errno == EAGAIN);
        continue;
      }
      CHECK(open < 0);
      open = client;
      event.data.fd = open;
      CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, open, &event) == 0);
    } else {
      // Nothing is heard of one that was closed.
      CHECK(event.data.fd == open);
      open = -1;
      serve_and_close(event.data.fd);
    }
  }
}
