// Serves on a Unix socket.
//
//   paths path|abstract NAME
//   paths moved NAME           binds a relative path, and is elsewhere when it listens
#include "victim.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX}, name;
  int abstract = !strcmp(argv[1], "abstract");
  size_t length = strlen(argv[2]);
  memcpy(address.sun_path + abstract, argv[2], length);
  socklen_t len = offsetof(struct sockaddr_un, sun_path) + length + 1, name_len = sizeof name;
  if (!abstract) CHECK(unlink(argv[2]) == 0 || errno == ENOENT);
  CHECK(bind(fd, (struct sockaddr *)&address, len) == 0);
  if (!strcmp(argv[1], "moved")) CHECK(chdir("/") == 0);
  CHECK(listen(fd, 128) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)&name, &name_len) == 0);
  CHECK(name_len == len && !memcmp(&name, &address, len));
  int value = -1;
  socklen_t value_len = sizeof value;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &value_len) == 0 && value == AF_UNIX);
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &value_len) == 0 && value == 1);
  CHECK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &value_len) == 0 && value == 0);
  REPORT("listening");
  for (;;) {
    struct sockaddr_un peer;
    socklen_t peer_len = sizeof peer;
    memset(&peer, 0xee, sizeof peer);
    int client = accept(fd, (struct sockaddr *)&peer, &peer_len);
    CHECK(client >= 0 && peer.sun_family == AF_UNIX);
    // A client with a name is known by it.
    CHECK(peer_len == sizeof peer.sun_family || peer.sun_path[0] == 0);
    struct ucred who;
    socklen_t who_len = sizeof who;
    CHECK(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &who_len) == 0);
    CHECK(who.pid > 0 && who.uid == getuid());
    if (peer_len > sizeof peer.sun_family) {
      dprintf(client, "%.*s\n", (int)(peer_len - sizeof peer.sun_family - 1), peer.sun_path + 1);
      close(client);
    } else {
      answer(client);
    }
  }
}
