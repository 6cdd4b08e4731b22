// A listener that is shut down to wake whoever waits for a connection.
#include "victim.h"

#include <pthread.h>

static int fd;

static void *waiting(void *polls) {
  if (polls) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, 20000) == 1);
  }
  FAILS(EINVAL, accept(fd, NULL, NULL));
  return NULL;
}

int main(void) {
  int port = number_in("PORT");
  for (int polls = 0; polls < 2; polls++) {
    for (int how = SHUT_RD; how <= SHUT_RDWR; how += SHUT_RDWR - SHUT_RD) {
      fd = listener(port, polls ? SOCK_NONBLOCK : 0);
      int client = connected(port), served;
      while ((served = accept(fd, NULL, NULL)) < 0) CHECK(errno == EAGAIN);
      answer(served);
      CHECK(close(client) == 0);
      pthread_t thread;
      CHECK(pthread_create(&thread, NULL, waiting, polls ? &fd : NULL) == 0);
      // Whether the thread waits already or comes too late is the same to it.
      CHECK(shutdown(fd, how) == 0);
      CHECK(pthread_join(thread, NULL) == 0);
      CHECK(close(fd) == 0);
    }
  }
  REPORT("all checks hold");
}
