// Listens on a port from the kernel, and does nothing, for as long as it is let.
require("net").createServer().listen(0, "127.0.0.1");
