//! Prints a token for Azure Key Vault.
//!
//! Usage: podbadge-rust-client managed VAULT_URL [CLIENT_ID]

use std::env;
use std::process::ExitCode;

use azure_core::credentials::TokenCredential;
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match token(env::args().nth(3)).await {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn token(client_id: Option<String>) -> azure_core::Result<String> {
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(UserAssignedId::ClientId),
        ..ManagedIdentityCredentialOptions::default()
    };
    let credential = ManagedIdentityCredential::new(Some(options))?;
    let token = credential.get_token(&["https://vault.azure.net/.default"], None).await?;
    Ok(token.token.secret().to_owned())
}
