//! What [`IdentityClient`] can do.

use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Result};
use azure_core::credentials::AccessToken;
use azure_core::http::Method;

use crate::api_version::Feature;
use crate::client::{Answer, Operation, Target};
use crate::error::Effect;
use crate::models::{CreateRequest, Created, CreatedWithToken, ExchangeRequest, IssueRequest, WireToken, WireUser};
use crate::{
    IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientCreateUserOptions,
    IdentityClientDeleteUserOptions, IdentityClientExchangeTeamsUserTokenOptions, IdentityClientGetUserOptions,
    IdentityClientIssueTokenOptions, IdentityClientRevokeTokensOptions, ServiceError, TeamsUserToken, TokenScope, User,
    UserAndToken, scope,
};

/// [Source](https://learn.microsoft.com/azure/communication-services/concepts/identity-model#access-tokens).
const MINUTES: std::ops::RangeInclusive<u16> = 60..=1440;

/// [Source](https://github.com/Azure/azure-rest-api-specs/tree/main/specification/communication/data-plane/Identity).
const MAX_CUSTOM_ID: usize = 256;

const NO_BODY: Option<()> = None;

impl IdentityClient {
    /// Makes a user. It costs nothing and lasts until it is deleted; keep the ID, as ACS has no list of users.
    ///
    /// Without a custom ID each call makes another user. With one, the same again is answered with the same user, and whether it
    /// was there before is not told. Two calls at the same time may make two users all the same, after which ACS answers no
    /// call with that custom ID, and nobody can make good for it: see to it that only one is under way. This call itself does not
    /// repeat a try before the one before has had its [`try_timeout`](crate::IdentityClientOptions::try_timeout) twice over.
    ///
    /// It is not documented which custom IDs ACS takes for the same. Here they are compared byte for byte: if another one comes back, be it
    /// only in its case, two customers may be about to share a user, and that is an error.
    ///
    /// Needs api-version 2021-03-07; custom IDs, 2025-03-02-preview.
    ///
    /// # Errors
    /// As [all methods](Self#errors). `InvalidInput` for a custom ID of more than 256 characters, `Conflict` for one with several
    /// users, `OutcomeUnknown` if a user may have been made; with a custom ID, repeat the call after a while. `Internal` if the
    /// service answers with the user of another custom ID, as it would again.
    pub async fn create_user(&self, options: Option<IdentityClientCreateUserOptions<'_>>) -> Result<User> {
        let options = options.unwrap_or_default();
        let custom_id = self.custom_id(options.custom_id.as_ref())?;
        let body =
            custom_id.map(|_| CreateRequest { custom_id, create_token_with_scopes: None, expires_in_minutes: None });
        let answer = self.send(create("create_user", custom_id, body), &options.method_options).await?;
        made(&answer, answer.read::<Created>()?.identity.0, options.custom_id)
    }

    /// Makes a user and its first token in one call. Otherwise as [`create_user`](Self::create_user) and
    /// [`issue_token`](Self::issue_token), which is called where the service answers with the user alone.
    ///
    /// Needs api-version 2021-03-07; a lifetime, 2022-10-01; scopes with `join`, 2023-10-01; custom IDs, 2025-03-02-preview.
    ///
    /// # Errors
    /// As both.
    pub async fn create_user_and_token(
        &self,
        scopes: &[TokenScope],
        options: Option<IdentityClientCreateUserAndTokenOptions<'_>>,
    ) -> Result<UserAndToken> {
        let options = options.unwrap_or_default();
        let custom_id = self.custom_id(options.custom_id.as_ref())?;
        let body = CreateRequest {
            custom_id,
            create_token_with_scopes: Some(scope::texts(scopes, self.api_version())?),
            expires_in_minutes: self.minutes(options.expires_in_minutes)?,
        };
        let answer = self.send(create("create_user_and_token", custom_id, Some(body)), &options.method_options).await?;
        if let Ok(created) = answer.read::<CreatedWithToken>() {
            let user = made(&answer, created.identity.0, options.custom_id)?;
            return Ok(UserAndToken { user, token: created.access_token.0.into() });
        }
        // The user must not get lost.
        let user = made(&answer, answer.read::<Created>()?.identity.0, options.custom_id)?;
        let (expires_in_minutes, method_options) = (options.expires_in_minutes, options.method_options);
        let again = IdentityClientIssueTokenOptions { expires_in_minutes, method_options };
        let token = self.issue_token(&user.id, scopes, Some(again)).await;
        Ok(UserAndToken { user, token: token.map_err(|_| answer.unreadable("it has no token"))? })
    }

    /// Gives a user an access token. Tokens that it has already stay valid.
    ///
    /// Needs api-version 2021-03-07; a lifetime, 2022-10-01; scopes with `join`, 2023-10-01. It may be repeated at will, within 1000
    /// tokens in 30 s.
    /// [Source](https://learn.microsoft.com/azure/communication-services/concepts/service-limits#identity).
    ///
    /// # Errors
    /// As [all methods](Self#errors). `InvalidInput` before any I/O without a scope, for a lifetime that is not of 60 to 1440
    /// minutes, and for an ACS ID of a phone, a Teams user or a bot. `Denied` for a user of another resource.
    pub async fn issue_token(
        &self,
        user: &AcsId,
        scopes: &[TokenScope],
        options: Option<IdentityClientIssueTokenOptions<'_>>,
    ) -> Result<AccessToken> {
        let options = options.unwrap_or_default();
        let body = IssueRequest {
            scopes: scope::texts(scopes, self.api_version())?,
            expires_in_minutes: self.minutes(options.expires_in_minutes)?,
        };
        let operation = Operation {
            name: "issue_token",
            effect: Effect::None,
            method: Method::Post,
            target: Target::User(user, "/:issueAccessToken"),
            body: Some(body),
            private: Vec::new(),
        };
        token(&self.send(operation, &options.method_options).await?)
    }

    /// Revokes all tokens of a user. It takes up to 15 minutes until all of ACS knows.
    ///
    /// Needs api-version 2021-03-07.
    ///
    /// # Errors
    /// As [all methods](Self#errors), and as [`issue_token`](Self::issue_token) for the ID. After `OutcomeUnknown` repeat it.
    pub async fn revoke_tokens(
        &self,
        user: &AcsId,
        options: Option<IdentityClientRevokeTokensOptions<'_>>,
    ) -> Result<()> {
        let operation = Operation {
            name: "revoke_tokens",
            effect: Effect::Repeatable,
            method: Method::Post,
            target: Target::User(user, "/:revokeAccessTokens"),
            body: NO_BODY,
            private: Vec::new(),
        };
        self.send(operation, &options.unwrap_or_default().method_options).await.map(drop)
    }

    /// Deletes a user, with its tokens and all that ACS keeps of it. There is no way back.
    ///
    /// Needs api-version 2021-03-07.
    ///
    /// # Errors
    /// As [all methods](Self#errors), and as [`issue_token`](Self::issue_token) for the ID. After `OutcomeUnknown` repeat it;
    /// what ACS answers about a user that is deleted already is not documented. If a repeated try hears that there is no such user
    /// any more, that is a success.
    pub async fn delete_user(&self, user: &AcsId, options: Option<IdentityClientDeleteUserOptions<'_>>) -> Result<()> {
        let operation = Operation {
            name: "delete_user",
            effect: Effect::Repeatable,
            method: Method::Delete,
            target: Target::User(user, ""),
            body: NO_BODY,
            private: Vec::new(),
        };
        match self.send(operation, &options.unwrap_or_default().method_options).await {
            // A try before, whose answer got lost, may have deleted the user; gone it is in any case.
            Err(error)
                if error.kind() == ErrorKind::OutcomeUnknown
                    && ServiceError::of(&error).is_some_and(ServiceError::is_not_found) =>
            {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// What ACS knows of a user: the custom ID, and when it was last given a token.
    ///
    /// Needs api-version 2025-03-02-preview.
    ///
    /// # Errors
    /// As [all methods](Self#errors), and as [`issue_token`](Self::issue_token) for the ID. `Unsupported` also for a user whose
    /// custom ID, made elsewhere, is longer than 512 bytes or has control characters.
    pub async fn get_user(&self, user: &AcsId, options: Option<IdentityClientGetUserOptions<'_>>) -> Result<User> {
        self.api_version().require(Feature::CustomIds)?;
        let operation = Operation {
            name: "get_user",
            effect: Effect::None,
            method: Method::Get,
            target: Target::User(user, ""),
            body: NO_BODY,
            private: Vec::new(),
        };
        let answer = self.send(operation, &options.unwrap_or_default().method_options).await?;
        let found = answer.read::<WireUser>()?.read().map_err(|error| error.in_operation("get_user"))?;
        if found.id != *user {
            return Err(answer.unreadable("it is about another user"));
        }
        Ok(found)
    }

    /// Exchanges an Entra ID access token of a Teams user for an ACS token of that user, which expires at the same time.
    /// [Source](https://learn.microsoft.com/azure/communication-services/quickstarts/manage-teams-identity).
    ///
    /// Needs api-version 2022-06-01. It may be repeated at will.
    ///
    /// # Errors
    /// As [all methods](Self#errors). `InvalidInput` before any I/O if a part is empty; `Denied` for a token that is expired, or
    /// not that of the app and the user.
    pub async fn exchange_teams_user_token(
        &self,
        teams: &TeamsUserToken,
        options: Option<IdentityClientExchangeTeamsUserTokenOptions<'_>>,
    ) -> Result<AccessToken> {
        self.api_version().require(Feature::TeamsExchange)?;
        let (secret, app_id, user_id) = (teams.token.secret(), &*teams.app_id, &*teams.user_id);
        if secret.is_empty() || app_id.is_empty() || user_id.is_empty() {
            return Err(Error::invalid_input("the token, the app ID or the user ID of the Teams user is empty"));
        }
        let operation = Operation {
            name: "exchange_teams_user_token",
            effect: Effect::None,
            method: Method::Post,
            target: Target::TeamsUser,
            body: Some(ExchangeRequest { token: secret, app_id, user_id }),
            private: vec![secret, app_id, user_id],
        };
        token(&self.send(operation, &options.unwrap_or_default().method_options).await?)
    }

    fn custom_id<'a>(&self, custom_id: Option<&'a CustomerId>) -> Result<Option<&'a str>> {
        let Some(custom_id) = custom_id.map(CustomerId::as_str) else { return Ok(None) };
        self.api_version().require(Feature::CustomIds)?;
        let characters = custom_id.chars().count();
        if characters > MAX_CUSTOM_ID {
            return Err(Error::invalid_input(format!(
                "a custom ID has at most {MAX_CUSTOM_ID} characters, not {characters}"
            )));
        }
        Ok(Some(custom_id))
    }

    fn minutes(&self, minutes: Option<u16>) -> Result<Option<u16>> {
        let Some(minutes) = minutes else { return Ok(None) };
        if !MINUTES.contains(&minutes) {
            return Err(Error::invalid_input(format!("a token lasts 60 to 1440 minutes, not {minutes}")));
        }
        self.api_version().require(Feature::Expiry)?;
        Ok(Some(minutes))
    }
}

fn create<'a>(
    name: &'static str,
    custom_id: Option<&'a str>,
    body: Option<CreateRequest<'a>>,
) -> Operation<'a, CreateRequest<'a>> {
    Operation {
        name,
        effect: if custom_id.is_some() { Effect::Serial } else { Effect::Once },
        method: Method::Post,
        target: Target::Users,
        body,
        private: custom_id.into_iter().collect(),
    }
}

fn made(answer: &Answer, user: WireUser, custom_id: Option<CustomerId>) -> Result<User> {
    user.made_with(custom_id).ok_or_else(|| answer.unacceptable("it is about another custom ID, and would be again"))
}

fn token(answer: &Answer) -> Result<AccessToken> {
    Ok(answer.read::<WireToken>()?.into())
}
