// Listens on every port that it is given, and serves them all from one loop. With "shared", each
// port has two listeners, bound before either of them listens.
//
//   ports [shared] PORT...
#include "victim.h"

#define MOST 1000

int main(int argc, char **argv) {
  struct pollfd ready[MOST];
  int count = 0, shared = argc > 1 && !strcmp(argv[1], "shared");
  for (int i = 1 + shared; i < argc; i++) {
    CHECK(count + 2 <= MOST);
    if (!shared) {
      ready[count++].fd = listener(atoi(argv[i]), SOCK_NONBLOCK);
      continue;
    }
    for (int twin = 0; twin < 2; twin++) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
      CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0);
      union address address;
      socklen_t len = any_address(&address, AF_INET, atoi(argv[i]));
      CHECK(bind(fd, &address.any, len) == 0);
      ready[count + twin].fd = fd;
    }
    CHECK(listen(ready[count].fd, 16) == 0 && listen(ready[count + 1].fd, 16) == 0);
    count += 2;
  }
  for (int i = 0; i < count; i++) ready[i].events = POLLIN;
  REPORT("listening");
  for (;;) {
    CHECK(poll(ready, count, -1) > 0);
    for (int i = 0; i < count; i++) {
      if (!ready[i].revents) continue;
      CHECK(ready[i].revents == POLLIN);
      int client = accept(ready[i].fd, NULL, NULL);
      if (client >= 0)
        answer(client);
      else
        CHECK(errno == EAGAIN);
    }
  }
}
