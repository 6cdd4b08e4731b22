// Lends the test its place in the app: a process that the test could not be, a descendant of the
// supervisor, connects to the registration socket and hands the connection over.
//
//   agent SOCKET PROGRAM [ARGUMENT...]   listens at SOCKET.INSTANCE in a child, and becomes PROGRAM
//   agent                                does nothing
//
// With AGENT_BECOMES each connection is of a process of its own, which then becomes that program: it may
// have other rights by now than it had when it connected.
#include "victim.h"

static int unix_socket(struct sockaddr_un *address, const char *path) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  CHECK(strlen(path) < sizeof address->sun_path);
  strcpy(address->sun_path, path);
  // Not a stream: so the library leaves it alone.
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

static void hand_over(int client, int connection) {
  char space[CMSG_SPACE(sizeof connection)] = "";
  pid_t self = getpid();
  struct iovec iov = {.iov_base = &self, .iov_len = sizeof self};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                           .msg_controllen = sizeof space};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof connection);
  memcpy(CMSG_DATA(rights), &connection, sizeof connection);
  sendmsg(client, &message, MSG_NOSIGNAL);
}

static void connect_for(int client) {
  struct sockaddr_un door;
  int connection = unix_socket(&door, getenv("MAITRED_DOOR"));
  if (connect(connection, (struct sockaddr *)&door, sizeof door) == 0)
    hand_over(client, connection);
  close(connection);
}

static void lend(int fd) {
  const char *becomes = getenv("AGENT_BECOMES");
  CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
  for (;;) {
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    CHECK(client >= 0);
    if (becomes == NULL) {
      connect_for(client);
    } else if (fork() == 0) {
      connect_for(client);
      CHECK(execl(becomes, becomes, NULL) == 0);
    }
    close(client);
  }
}

int main(int argc, char **argv) {
  if (argc == 1) {
    // Not for longer than a test lasts.
    alarm(60);
    for (;;) pause();
  }
  CHECK(argc >= 3);
  char path[128], made[140];
  snprintf(path, sizeof path, "%s.%s", argv[1], getenv("NODE_APP_INSTANCE"));
  snprintf(made, sizeof made, "%s.%d", path, getpid());
  struct sockaddr_un address;
  int fd = unix_socket(&address, made);
  CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(listen(fd, 1024) == 0);
  int child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    // It outlives the worker that started it.
    CHECK(setsid() > 0);
    lend(fd);
  }
  CHECK(rename(made, path) == 0);
  CHECK(close(fd) == 0);
  CHECK(execv(argv[2], argv + 2) == 0);
}
