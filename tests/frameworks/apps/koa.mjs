import Koa from "koa";
import { who } from "./who.mjs";

const app = new Koa();
app.use((context) => {
  context.body = who(context.query.ms);
});
app.listen(process.env.PORT);
