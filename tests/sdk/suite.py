"""The official Python client on the emulator: all that it can do, and how it reports what the service refuses.

Run by main.rs, which starts the emulators and looks at what they were asked. The blocking client and the one for
asyncio have the same methods, so there is one suite for both.
"""

import json
import os
import time
import unittest
from datetime import datetime, timedelta, timezone

import isodate
from azure.communication.identity import (
    CommunicationIdentityClient,
    CommunicationTokenScope,
    CommunicationUserIdentifier,
    aio,
)
from azure.communication.identity._shared.user_credential import CommunicationTokenCredential
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.core.pipeline.policies import SansIOHTTPPolicy

STAGE = json.loads(os.environ["ACS_IDENTITY_TEST_STAGE"])
CHAT, VOIP = CommunicationTokenScope.CHAT, CommunicationTokenScope.VOIP
JOIN = [
    CommunicationTokenScope.CHAT_JOIN,
    CommunicationTokenScope.CHAT_JOIN_LIMITED,
    CommunicationTokenScope.VOIP_JOIN,
]
FOREIGN = CommunicationUserIdentifier(
    "8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000"
)


class Entra:
    """A credential as those of azure-identity are, with a token that nobody has signed."""

    scopes = None

    def get_token(self, *scopes, **_):
        self.scopes = scopes
        return AccessToken("entra-token", int(time.time()) + 3600)


class AsyncEntra(Entra):
    async def get_token(self, *scopes, **_):
        return super().get_token(*scopes)

    async def close(self):
        pass


class Blocking:
    """The blocking client with methods that can be awaited."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        async def call(*args, **options):
            return getattr(self._client, name)(*args, **options)

        return call

    async def close(self):
        self._client._identity_service_client.close()


class Suite(unittest.IsolatedAsyncioTestCase):
    def client(self, emulator, credential=None, **options):
        credential = credential or AzureKeyCredential(STAGE["key"])
        if STAGE["client"] == "python":
            client = Blocking(CommunicationIdentityClient(STAGE[emulator], credential, **options))
        else:
            client = aio.CommunicationIdentityClient(STAGE[emulator], credential, **options)
        self.addAsyncCleanup(client.close)
        return client

    def user(self, name):
        return CommunicationUserIdentifier(STAGE[name])

    def assert_token(self, token, minutes):
        """The service's expiry is that of the token itself, as Communication Services read it."""
        # Here it is the service's text.
        expires_on = isodate.parse_datetime(token.expires_on)
        left = expires_on - datetime.now(timezone.utc)
        self.assertAlmostEqual(left / timedelta(minutes=1), minutes, delta=1)
        read = CommunicationTokenCredential(token.token).get_token()
        self.assertEqual(read, AccessToken(token.token, int(expires_on.timestamp())))

    async def refused(self, call, status, code, message, error=HttpResponseError, reason=None):
        with self.assertRaises(error) as caught:
            await call
        error = caught.exception
        self.assertEqual((error.status_code, error.error.code), (status, code))
        self.assertEqual(error.error.message, message)
        self.assertIn(message, str(error))
        self.assertEqual(error.response.headers.get("x-emulator-reason"), reason)
        return error

    async def denied(self, call, reason, message="Denied by the resource provider."):
        await self.refused(call, 401, "Denied", message, ClientAuthenticationError, reason)


class Operations(Suite):
    """Each once, in the order of the Rust client in rust.rs."""

    async def every_operation(self, client, **options):
        user = await client.create_user(**options)
        self.assertTrue(user.raw_id.startswith("8:acs:"))
        self.assertEqual(user.properties["id"], user.raw_id)

        other, token = await client.create_user_and_token([CHAT, VOIP], **options)
        self.assertNotEqual(other.raw_id, user.raw_id)
        self.assert_token(token, 1440)
        _, token = await client.create_user_and_token(JOIN, token_expires_in=timedelta(hours=1), **options)
        self.assert_token(token, 60)

        bob = self.user("bob")
        self.assert_token(await client.get_token(bob, [CHAT], **options), 1440)
        token = await client.get_token(bob, [CHAT, VOIP], token_expires_in=timedelta(minutes=90), **options)
        self.assert_token(token, 90)

        teams = STAGE["teams"]
        token = await client.get_token_for_teams_user(teams["token"], teams["appId"], teams["userId"], **options)
        self.assert_token(token, 60)

        self.assertIsNone(await client.revoke_tokens(bob, **options))
        self.assertIsNone(await client.delete_user(self.user("alice"), **options))

    async def test_every_operation_with_a_key(self):
        await self.every_operation(self.client("signed"))

    async def test_every_operation_with_a_credential_of_entra(self):
        credential = Entra() if STAGE["client"] == "python" else AsyncEntra()
        client = self.client("bearer", credential)
        await self.every_operation(client, enforce_https=False)
        self.assertEqual(credential.scopes, ("https://communication.azure.com//.default",))
        # Without that option it does not send its token.
        with self.assertRaises(ServiceRequestError):
            await client.create_user()


class ChangeBody(SansIOHTTPPolicy):
    """Stands behind the policy that signs."""

    def on_request(self, request):
        request.http_request.set_json_body({"scopes": ["voip"]})


class Refusals(Suite):
    async def test_a_wrong_key(self):
        client = self.client("refusing", AzureKeyCredential("d3Jvbmc="))
        reason = "the signature differs: another key, host, method, path or query, or a header missing"
        await self.denied(client.create_user(), reason)

    async def test_a_stale_date(self):
        reason = "the date is too far from the emulator's clock"
        await self.denied(self.client("stale").create_user(), reason)

    async def test_a_changed_body(self):
        client = self.client("refusing", per_retry_policies=[ChangeBody()])
        message = "Request 'x-ms-content-sha256' differs from generated content hash."
        await self.denied(
            client.get_token(self.user("bob"), [CHAT]), "the body is not the one that was hashed", message
        )

    async def test_a_life_that_is_too_short_or_too_long(self):
        client = self.client("refusing")
        for minutes in [59, 1441]:
            life = timedelta(minutes=minutes)
            message = f"ExpiresInMinutes value {minutes} is invalid. Value must be within the [60, 1440] interval."
            for call in [
                client.get_token(self.user("bob"), [CHAT], token_expires_in=life),
                client.create_user_and_token([CHAT], token_expires_in=life),
            ]:
                error = await self.refused(call, 400, "ValidationError", message)
                self.assertEqual(error.error.target, "ExpiresInMinutes")

    async def test_no_scopes(self):
        call = self.client("refusing").get_token(self.user("bob"), [])
        await self.refused(call, 400, "ValidationError", "Invalid scopes - Scopes field is required.")

    async def test_an_unknown_api_version(self):
        client = self.client("refusing", api_version="2099-01-01")
        uri = f"{STAGE['refusing']}/identities"
        message = f"The HTTP resource that matches the request URI '{uri}' does not support the API version '2099-01-01'."
        error = await self.refused(client.create_user(), 400, "UnsupportedApiVersion", message)
        self.assertIn("2023-10-01", error.response.headers["api-supported-versions"])

    async def test_a_user_of_another_resource(self):
        client = self.client("refusing")
        reason = "the ID is not of this resource"
        await self.denied(client.get_token(FOREIGN, [CHAT]), reason)
        await self.denied(client.revoke_tokens(FOREIGN), reason)
        await self.denied(client.delete_user(FOREIGN), reason)

    async def test_a_user_who_was_deleted(self):
        client = self.client("refusing")
        user = await client.create_user()
        await client.delete_user(user)
        call = client.get_token(user, [CHAT])
        message = "Provided identity doesn't exist"
        await self.refused(call, 404, "IdentityNotFound", message, ResourceNotFoundError)

    async def test_a_token_of_entra_where_none_is_taken(self):
        credential = Entra() if STAGE["client"] == "python" else AsyncEntra()
        call = self.client("refusing", credential).create_user(enforce_https=False)
        await self.denied(call, "bearer tokens are only taken in the emulator's mode for them")

    async def test_throttling_is_waited_for(self):
        client = self.client("throttled")
        await client.create_user()
        # A retry that comes too early would be one more call.
        await client.create_user()

    async def test_throttling_is_reported_in_the_end(self):
        call = self.client("throttled", retry_total=0).revoke_tokens(self.user("bob"))
        message = "The rate limit of this operation is reached."
        error = await self.refused(call, 429, "TooManyRequests", message)
        self.assertEqual(error.response.headers["Retry-After"], "3")
