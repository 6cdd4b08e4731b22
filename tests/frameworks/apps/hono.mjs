import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { who } from "./who.mjs";

const app = new Hono();
app.get("/who", (context) => context.json(who(context.req.query("ms"))));
serve({ fetch: app.fetch, port: Number(process.env.PORT) });
