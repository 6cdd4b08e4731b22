import { Hono } from "hono";
import { who } from "./who.mjs";

const app = new Hono();
app.get("/who", (context) => context.json(who(context.req.query("ms"))));
export default { port: Number(process.env.PORT), fetch: app.fetch };
