// A small HTTP server for the tests: one connection at a time, with blocking calls. It listens on
// PORT, or where that is 0 on PORT_<instance>, and answers as the examples do.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  const char *instance = getenv("NODE_APP_INSTANCE");
  int port = atoi(getenv("PORT"));
  if (port == 0) {
    char name[32];
    snprintf(name, sizeof name, "PORT_%s", instance);
    port = atoi(getenv(name));
  }

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
    perror("listening");
    return 1;
  }
  puts("ready");
  fflush(stdout);

  for (;;) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) {
      perror("accepting");
      return 1;
    }
    char request[4096] = "";
    size_t length = 0;
    while (!strstr(request, "\r\n\r\n") && length < sizeof request - 1) {
      ssize_t more = read(client, request + length, sizeof request - 1 - length);
      if (more <= 0) break;
      length += more;
      request[length] = 0;
    }
    const char *ms = strstr(request, "ms=");
    usleep(ms ? atoi(ms + 3) * 1000 : 0);

    char body[128], answer[256];
    snprintf(body, sizeof body, "{\"instance\":\"%s\",\"pid\":%d}", instance, getpid());
    int total = snprintf(answer, sizeof answer,
                         "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         strlen(body), body);
    if (write(client, answer, total) != total) perror("answering");
    close(client);
  }
}
