// Servers that are busy with one connection until its client closes it: each is answered as soon
// as it is taken, and then holds up whoever took it.
//
//   holders alone                 one that blocks in accept
//   holders threads               two threads that do, in one process
//   holders forked                three children of one that listens and does no more
//   holders forked-polled         the same, with poll and without blocking
#include "victim.h"

#include <pthread.h>

static void hold(int client) {
  char byte;
  CHECK(client >= 0);
  dprintf(client, "%d\n", getpid());
  while (read(client, &byte, 1) > 0) {
  }
  close(client);
}

static void hold_each(int fd) {
  for (;;) hold(accept(fd, NULL, NULL));
}

static void hold_each_polled(int fd) {
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, -1) == 1);
    int client = accept(fd, NULL, NULL);
    if (client >= 0)
      hold(client);
    else
      CHECK(errno == EAGAIN);
  }
}

static void *thread(void *fd) {
  hold_each((int)(intptr_t)fd);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const char *way = argv[1];
  int polled = strstr(way, "polled") != NULL;
  int fd = listener(number_in("PORT"), polled ? SOCK_NONBLOCK : 0);
  if (!strncmp(way, "thread", 6)) {
    pthread_t other;
    CHECK(pthread_create(&other, NULL, thread, (void *)(intptr_t)fd) == 0);
  }
  if (!strncmp(way, "forked", 6)) {
    for (int i = 0; i < 3; i++) {
      int pid = fork();
      CHECK(pid >= 0);
      if (pid == 0) polled ? hold_each_polled(fd) : hold_each(fd);
    }
    int status;
    while (wait(&status) > 0) CHECK(0);
  }
  polled ? hold_each_polled(fd) : hold_each(fd);
}
