// A client that binds its own port first: what it binds is not to be listened on.
//
//   client OWN-PORT SERVER-PORT
#include "victim.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  int own = atoi(argv[1]), server = atoi(argv[2]);
  int fd = bound(AF_INET, own, 0);
  union address address;
  socklen_t len = any_address(&address, AF_INET, server);
  CHECK(connect(fd, &address.any, len) == 0);
  len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0 && ntohs(address.four.sin_port) == own);
  len = sizeof address;
  CHECK(getpeername(fd, &address.any, &len) == 0 && ntohs(address.four.sin_port) == server);
  char text[8] = "";
  CHECK(send(fd, "ping", 4, 0) == 4);
  CHECK(recv(fd, text, sizeof text, 0) == 4 && !memcmp(text, "pong", 4));
  CHECK(close(fd) == 0);
  REPORT("all checks hold");
  pause();
}
