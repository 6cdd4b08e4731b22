// What bind and listen say to addresses that this process may not have, as lines to compare.
//
//   refusals TAKEN-PORT
#include "victim.h"

static void attempt(const char *name, union address *address, socklen_t len, int option) {
  int fd = socket(address->any.sa_family, SOCK_STREAM, 0), yes = 1;
  CHECK(fd >= 0);
  if (option) CHECK(setsockopt(fd, SOL_SOCKET, option, &yes, sizeof yes) == 0);
  errno = 0;
  int bound = bind(fd, &address->any, len), bind_error = errno;
  errno = 0;
  int listens = bound ? bound : listen(fd, 16), listen_error = errno;
  REPORT("%s: bind %d %s, listen %d %s", name, bound, strerror(bind_error), listens,
         strerror(listen_error));
  CHECK(close(fd) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  int taken = atoi(argv[1]);
  union address address;
  for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
    socklen_t len = any_address(&address, family, taken);
    attempt("taken", &address, len, 0);
    attempt("taken, reused", &address, len, SO_REUSEADDR);
    attempt("taken, shared", &address, len, SO_REUSEPORT);
    // Where an ordinary user may use low ports, both see the same.
    len = any_address(&address, family, 893);
    attempt("privileged", &address, len, SO_REUSEADDR);
  }
  socklen_t len = any_address(&address, AF_INET, number_in("PORT"));
  address.four.sin_addr.s_addr = htonl(0xc0000201);
  attempt("nobody's", &address, len, 0);
  len = any_address(&address, AF_INET6, number_in("PORT"));
  address.six.sin6_addr.s6_addr[0] = 0x20;
  attempt("nobody's, IPv6", &address, len, 0);
  memset(&address, 0, sizeof address);
  address.any.sa_family = AF_UNIX;
  strcpy(address.path.sun_path, "/nowhere/at/all");
  attempt("no folder", &address, sizeof address.path, 0);
  strcpy(address.path.sun_path, "/proc/socket");
  attempt("no such place", &address, sizeof address.path, 0);
  strcpy(address.path.sun_path, argv[0]);
  attempt("a file", &address, sizeof address.path, 0);
}
