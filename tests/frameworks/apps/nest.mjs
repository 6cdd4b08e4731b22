// In plain JavaScript a decorator is a function that is called.
import "reflect-metadata";
import { Controller, Get, Module, Query } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { who } from "./who.mjs";

class WhoController {
  who(ms) {
    return who(ms);
  }
}
const { prototype } = WhoController;
Query("ms")(prototype, "who", 0);
Get("who")(prototype, "who", Object.getOwnPropertyDescriptor(prototype, "who"));
Controller()(WhoController);

class AppModule {}
Module({ controllers: [WhoController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: ["error"] });
await app.listen(process.env.PORT);
