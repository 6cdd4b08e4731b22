import { Elysia } from "elysia";
import { who } from "./who.mjs";

new Elysia().get("/who", ({ query }) => who(query.ms)).listen(Number(process.env.PORT));
