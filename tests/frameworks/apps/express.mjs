import express from "express";
import { who } from "./who.mjs";

const app = express();
app.get("/who", (request, response) => response.json(who(request.query.ms)));
app.listen(process.env.PORT);
