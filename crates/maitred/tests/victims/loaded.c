// Tells where its `listen` comes from, and that it still works.
#include "victim.h"

#include <dlfcn.h>

int main(void) {
  Dl_info origin;
  CHECK(dladdr(dlsym(RTLD_DEFAULT, "listen"), &origin) != 0);
  int fd = listener(0, 0);
  union address address;
  socklen_t len = sizeof address;
  CHECK(getsockname(fd, &address.any, &len) == 0);
  int client = connected(ntohs(address.four.sin_port));
  answer(accept(fd, NULL, NULL));
  char text[16];
  CHECK(read(client, text, sizeof text) > 0 && atoi(text) == getpid());
  CHECK(close(client) == 0 && close(fd) == 0);
  FAILS(EBADF, close(fd));
  REPORT("%s", origin.dli_fname);
}
