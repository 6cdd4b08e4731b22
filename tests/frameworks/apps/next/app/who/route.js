import { who } from "../../../who.mjs";

export const dynamic = "force-dynamic";

export function GET(request) {
  return Response.json(who(new URL(request.url).searchParams.get("ms")));
}
