// The same with the note that the linker of Go puts into its programs.
#include "raw.c"

__attribute__((section(".note.go.buildid"), aligned(4), used)) static const struct {
  int name, text, kind;
  char owner[4], id[8];
} note = {4, 8, 4, "Go", "a/b/c/d"};
