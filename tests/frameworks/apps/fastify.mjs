import fastify from "fastify";
import { who } from "./who.mjs";

const app = fastify();
app.get("/who", async (request) => who(request.query.ms));
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
