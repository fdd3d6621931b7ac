//! What the suites of the official clients do with them, done with the Rust client.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acs_identity::AcsId;
use acs_identity::client::azure_core;
use acs_identity::client::azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use acs_identity::client::{
    IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientIssueTokenOptions, TeamsUserToken,
    TokenScope,
};
use async_trait::async_trait;

use crate::stage::{ALICE, APP, BOB, Stage, TEAMS_USER};

/// Every operation that the official clients have, with a key and with a credential of Entra ID.
pub(crate) async fn run(stage: &Stage, teams_token: &str) {
    let signed = IdentityClient::from_connection_string(&stage.signed.connection_string(), None).unwrap();
    every_operation(&signed, teams_token).await;
    let bearer = IdentityClient::new(stage.bearer.endpoint(), Arc::new(Entra), None).unwrap();
    every_operation(&bearer, teams_token).await;
}

/// Each once, in the order of the suites.
async fn every_operation(client: &IdentityClient, teams_token: &str) {
    let (bob, alice): (AcsId, AcsId) = (BOB.parse().unwrap(), ALICE.parse().unwrap());
    let (chat, chat_voip) = ([TokenScope::CHAT], [TokenScope::CHAT, TokenScope::VOIP]);
    let joins = [TokenScope::CHAT_JOIN, TokenScope::CHAT_JOIN_LIMITED, TokenScope::VOIP_JOIN];

    client.create_user(None).await.unwrap();
    client.create_user_and_token(&chat_voip, None).await.unwrap();
    let hour = IdentityClientCreateUserAndTokenOptions { expires_in_minutes: Some(60), ..Default::default() };
    client.create_user_and_token(&joins, Some(hour)).await.unwrap();

    client.issue_token(&bob, &chat, None).await.unwrap();
    let longer = IdentityClientIssueTokenOptions { expires_in_minutes: Some(90), ..Default::default() };
    client.issue_token(&bob, &chat_voip, Some(longer)).await.unwrap();

    let token = Secret::new(teams_token.to_owned());
    let teams = TeamsUserToken { token, app_id: APP.into(), user_id: TEAMS_USER.into() };
    client.exchange_teams_user_token(&teams, None).await.unwrap();

    client.revoke_tokens(&bob, None).await.unwrap();
    client.delete_user(&alice, None).await.unwrap();
}

/// A credential as those of `azure_identity` are, with a token that nobody has signed.
#[derive(Debug)]
struct Entra;

#[async_trait]
impl TokenCredential for Entra {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://communication.azure.com//.default"]);
        Ok(AccessToken::new("entra-token", (SystemTime::now() + Duration::from_secs(3600)).into()))
    }
}
