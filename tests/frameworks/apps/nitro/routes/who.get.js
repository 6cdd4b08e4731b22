import { defineEventHandler, getQuery } from "h3";
import { who } from "../../who.mjs";

export default defineEventHandler((event) => who(getQuery(event).ms));
