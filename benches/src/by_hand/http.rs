//! A token asked for by hand: plain reqwest, with a signature that was made before.

use std::error::Error;

use reqwest::Client;
use serde_json::Value;

/// The address of the operation, with the api-version.
pub fn address(endpoint: &str, user: &str) -> String {
    format!("{endpoint}/identities/{}/:issueAccessToken?api-version=2023-10-01", user.replace(':', "%3A"))
}

/// Asks, and reads the token and its expiry.
pub async fn issue_token(client: &Client, address: &str) -> Result<(String, String), Box<dyn Error + Send + Sync>> {
    let authorization = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&\
        Signature=3/Zxp6DdKAeFz561by9UOiUeY/TMc5PvEO+42vBfsvE=";
    let request = client
        .post(address)
        .header("content-type", "application/json")
        .header("x-ms-date", "Mon, 01 Jan 2024 00:00:00 GMT")
        .header("x-ms-content-sha256", "J+doRQjtFVYLx3qOvzptwBLjQWqy6OEWEEk1TY1+rT4=")
        .header("authorization", authorization)
        .body(r#"{"scopes":["chat"]}"#);
    let answer = request.send().await?.error_for_status()?.bytes().await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let text = |name: &str| answer[name].as_str().map(str::to_owned).ok_or("an answer without a token");
    Ok((text("token")?, text("expiresOn")?))
}
