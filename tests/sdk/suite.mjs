// The official JavaScript client on the emulator: all that it can do, and how it reports what the service refuses.
//
// Run by main.rs, which starts the emulators and looks at what they were asked.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { createDefaultHttpClient } from "@azure/core-rest-pipeline";

const stage = JSON.parse(process.env.ACS_IDENTITY_TEST_STAGE);
const bob = { communicationUserId: stage.bob };
const alice = { communicationUserId: stage.alice };
const foreign = {
  communicationUserId: "8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000",
};

function client(emulator, options = {}, key = stage.key) {
  const connectionString = `endpoint=${stage[emulator]}/;accesskey=${key}`;
  return new CommunicationIdentityClient(connectionString, { allowInsecureConnection: true, ...options });
}

// A client with a credential as those of @azure/identity are, with a token that nobody has signed. It sends tokens over
// HTTPS alone, so that is taken away behind it.
function clientOfEntra(emulator, scopes = []) {
  const credential = {
    async getToken(of) {
      scopes.push(...of);
      return { token: "entra-token", expiresOnTimestamp: Date.now() + 3_600_000 };
    },
  };
  const plain = createDefaultHttpClient();
  const httpClient = {
    sendRequest(request) {
      request.url = request.url.replace("https:", "http:");
      request.allowInsecureConnection = true;
      return plain.sendRequest(request);
    },
  };
  return new CommunicationIdentityClient(stage[emulator].replace("http:", "https:"), credential, { httpClient });
}

// The service's expiry is that of the token itself, as Communication Services read it.
async function assertToken({ token, expiresOn }, minutes) {
  const left = (expiresOn - Date.now()) / 60_000;
  assert.ok(Math.abs(left - minutes) < 1, `${left} minutes`);
  const read = await new AzureCommunicationTokenCredential(token).getToken();
  assert.equal(read.token, token);
  assert.equal(read.expiresOnTimestamp, Math.floor(expiresOn / 1000) * 1000);
}

async function refused(call, statusCode, code, message, reason) {
  const error = await call.then(
    () => assert.fail("it was not refused"),
    (error) => error,
  );
  assert.deepEqual(
    { name: error.name, statusCode: error.statusCode, code: error.code, message: error.message },
    { name: "RestError", statusCode, code, message },
  );
  assert.equal(error.response.headers.get("x-emulator-reason"), reason);
  return error;
}

const denied = (call, reason, message = "Denied by the resource provider.") =>
  refused(call, 401, "Denied", message, reason);

// Each once, in the order of the Rust client in rust.rs.
async function everyOperation(client) {
  const user = await client.createUser();
  assert.match(user.communicationUserId, /^8:acs:/);

  const other = await client.createUserAndToken(["chat", "voip"]);
  assert.notEqual(other.user.communicationUserId, user.communicationUserId);
  await assertToken(other, 1440);
  const joins = ["chat.join", "chat.join.limited", "voip.join"];
  await assertToken(await client.createUserAndToken(joins, { tokenExpiresInMinutes: 60 }), 60);

  await assertToken(await client.getToken(bob, ["chat"]), 1440);
  await assertToken(await client.getToken(bob, ["chat", "voip"], { tokenExpiresInMinutes: 90 }), 90);

  const { token, appId, userId } = stage.teams;
  const teams = { teamsUserAadToken: token, clientId: appId, userObjectId: userId };
  await assertToken(await client.getTokenForTeamsUser(teams), 60);

  assert.equal(await client.revokeTokens(bob), undefined);
  assert.equal(await client.deleteUser(alice), undefined);
}

// The other tests hand in a connection string.
test("every operation with a key", () =>
  everyOperation(
    new CommunicationIdentityClient(stage.signed, { key: stage.key }, { allowInsecureConnection: true }),
  ));

test("every operation with a credential of Entra ID", async () => {
  const scopes = [];
  await everyOperation(clientOfEntra("bearer", scopes));
  assert.deepEqual(scopes, ["https://communication.azure.com//.default"]);
});

test("a wrong key", () =>
  denied(
    client("refusing", {}, "d3Jvbmc=").createUser(),
    "the signature differs: another key, host, method, path or query, or a header missing",
  ));

test("a stale date", () => denied(client("stale").createUser(), "the date is too far from the emulator's clock"));

test("a changed body", () => {
  // Stands behind the policy that signs.
  const policy = {
    name: "changeBody",
    sendRequest(request, next) {
      request.body = '{"scopes":["voip"]}';
      return next(request);
    },
  };
  return denied(
    client("refusing", { additionalPolicies: [{ policy, position: "perRetry" }] }).getToken(bob, ["chat"]),
    "the body is not the one that was hashed",
    "Request 'x-ms-content-sha256' differs from generated content hash.",
  );
});

test("a life that is too short or too long", async () => {
  for (const tokenExpiresInMinutes of [59, 1441]) {
    const message = `ExpiresInMinutes value ${tokenExpiresInMinutes} is invalid. Value must be within the [60, 1440] interval.`;
    for (const call of [
      () => client("refusing").getToken(bob, ["chat"], { tokenExpiresInMinutes }),
      () => client("refusing").createUserAndToken(["chat"], { tokenExpiresInMinutes }),
    ]) {
      const error = await refused(call(), 400, "ValidationError", message);
      assert.equal(error.details.error.target, "ExpiresInMinutes");
    }
  }
});

test("no scopes", () =>
  refused(client("refusing").getToken(bob, []), 400, "ValidationError", "Invalid scopes - Scopes field is required."));

test("an unknown api-version", async () => {
  const uri = `${stage.refusing}/identities`;
  const message = `The HTTP resource that matches the request URI '${uri}' does not support the API version '2099-01-01'.`;
  const call = client("refusing", { apiVersion: "2099-01-01" }).createUser();
  const error = await refused(call, 400, "UnsupportedApiVersion", message);
  assert.match(error.response.headers.get("api-supported-versions"), /2023-10-01/);
});

test("a user of another resource", async () => {
  const here = client("refusing");
  const reason = "the ID is not of this resource";
  await denied(here.getToken(foreign, ["chat"]), reason);
  await denied(here.revokeTokens(foreign), reason);
  await denied(here.deleteUser(foreign), reason);
});

test("a user who was deleted", async () => {
  const here = client("refusing");
  const user = await here.createUser();
  await here.deleteUser(user);
  await refused(here.getToken(user, ["chat"]), 404, "IdentityNotFound", "Provided identity doesn't exist");
});

test("a token of Entra ID where none is taken", () =>
  denied(clientOfEntra("refusing").createUser(), "bearer tokens are only taken in the emulator's mode for them"));

test("throttling is waited for", async () => {
  const throttled = client("throttled");
  await throttled.createUser();
  // A retry that comes too early would be one more call.
  await throttled.createUser();
});

test("throttling is reported in the end", async () => {
  const call = client("throttled", { retryOptions: { maxRetries: 0 } }).revokeTokens(bob);
  const error = await refused(call, 429, "TooManyRequests", "The rate limit of this operation is reached.");
  assert.equal(error.response.headers.get("retry-after"), "3");
});
