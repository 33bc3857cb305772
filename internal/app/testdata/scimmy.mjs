// A SCIM server made with the npm packages scimmy and scimmy-routers, for comparison: users in a Map, which forgets them at the
// end. It says its port on standard output and ends with its standard input.
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const token = process.env.TOKEN;
const users = new Map();
const names = new Map(); // userName → id, as a database would have an index

const asked = ({ id }) => {
  const user = users.get(id);
  if (!user) throw new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);
  return user;
};

SCIMMY.Resources.declare(SCIMMY.Resources.User, {
  egress(resource, { startIndex, count } = {}) {
    if (resource.id) return asked(resource);
    const only = resource.filter?.length === 1 && resource.filter[0].userName;
    if (only && only[0] === "eq") { // the look-up that matters, by the index
      const id = names.get(String(only[1]).toLowerCase());
      return id ? [users.get(id)] : [];
    }
    const all = [...users.values()];
    if (resource.filter) return resource.filter.match(all);
    // It takes no count from a query, and makes all there is before it cuts a page: so the page is cut here.
    const from = Math.max(Number(startIndex) || 1, 1), most = Number(count) || 100;
    resource.constraints = { totalResults: all.length, startIndex: from, count: most };
    return all.slice(from - 1, from - 1 + most);
  },
  ingress(resource, data) {
    const key = data.userName.toLowerCase();
    const owner = names.get(key);
    if (owner && owner !== resource.id) throw new SCIMMY.Types.Error(409, "uniqueness", "userName is taken");
    const before = resource.id ? asked(resource) : undefined;
    const id = resource.id ?? randomUUID();
    if (before) names.delete(before.userName.toLowerCase());
    const now = new Date().toISOString();
    const user = { ...JSON.parse(JSON.stringify(data)), id, meta: { created: before?.meta.created ?? now, lastModified: now } };
    users.set(id, user);
    names.set(key, id);
    return user;
  },
  degress(resource) {
    names.delete(asked(resource).userName.toLowerCase());
    users.delete(resource.id);
  },
});
SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser, false);

const app = express();
app.use("/scim/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("no valid token");
    return "bench";
  },
  context: (request) => request.query,
}));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
