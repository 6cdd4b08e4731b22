// Listens, and does nothing, for as long as it is let.
require("net").createServer().listen(Number(process.env.PORT ?? 0), "127.0.0.1");
