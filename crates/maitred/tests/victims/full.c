// Keeps every connection until its client closes it, and may have 32 descriptors.
//
//   full blocking|polled       whether the listener blocks; poll comes first in any case
#include "victim.h"

#include <sys/resource.h>

int main(int argc, char **argv) {
  CHECK(argc == 2);
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = 32;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  struct pollfd ready[32];
  int count = 1, told = 0;
  ready[0].fd = listener(number_in("PORT"), !strcmp(argv[1], "polled") ? SOCK_NONBLOCK : 0);
  ready[0].events = POLLIN;
  for (;;) {
    CHECK(poll(ready, count, -1) > 0);
    for (int i = count - 1; i > 0; i--) {
      char byte;
      if (!ready[i].revents) continue;
      CHECK(read(ready[i].fd, &byte, 1) == 0 && close(ready[i].fd) == 0);
      ready[i] = ready[--count];
      ready[0].events = POLLIN;
    }
    if (!(ready[0].events & ready[0].revents)) continue;
    CHECK(ready[0].revents == POLLIN);
    int client = accept(ready[0].fd, NULL, NULL);
    if (client >= 0) {
      dprintf(client, "%d\n", getpid());
      ready[count++] = (struct pollfd){.fd = client, .events = POLLIN};
    } else if (errno == EMFILE) {
      // Until one leaves.
      ready[0].events = 0;
      if (!told++) REPORT("full with %d", count - 1);
    } else {
      CHECK(errno == EAGAIN);
    }
  }
}
