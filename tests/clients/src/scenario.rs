//! What happens to pods, and how a client lives through it.

use std::path::Path;

use anyhow::{Result, bail};
use podbadge_emulator::fault::{Endpoint, Fault};
use podbadge_sidecar_core::contract;
use tokio::try_join;

use crate::client::{Client, Outcome};
use crate::pod::{CHOSEN, FOREIGN, Way};
use crate::world::World;

/// Longer than the sidecar keeps anybody waiting, so it must pass it on.
const THROTTLED_SECONDS: u32 = 10;
const TOKEN: &str = "token";

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing: a token for the pod's own identity.
    Token,
    /// Another identity that the pod may have is asked for.
    Chosen,
    /// One is asked for that the service account does not allow.
    NotAllowed,
    /// Entra refuses the pod.
    Refused,
    /// Entra asks for patience, longer than a request can wait.
    Throttled,
    /// Entra goes away while the sidecar holds a token, and the application starts anew.
    DownWithToken,
    /// Entra is away until somebody was told so.
    Down,
    /// The application is there before the sidecar.
    Early,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::Chosen,
        Self::NotAllowed,
        Self::Refused,
        Self::Throttled,
        Self::DownWithToken,
        Self::Down,
        Self::Early,
    ];

    /// As it stands in the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Token => "own identity",
            Self::Chosen => "chosen identity",
            Self::NotAllowed => "identity not allowed",
            Self::Refused => "refused by Entra",
            Self::Throttled => "throttled",
            Self::DownWithToken => "Entra away, token held",
            Self::Down => "Entra away, no token",
            Self::Early => "before the sidecar",
        }
    }

    /// As it stands in the name of a test.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "own",
            Self::Chosen => "chosen",
            Self::NotAllowed => "not_allowed",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::DownWithToken => "down_with_token",
            Self::Down => "down",
            Self::Early => "early",
        }
    }

    /// Whether it can be told of a client; of a replayed one something is not known: what it does where nobody listens, and
    /// how much of a 400 of the metadata service .NET shows.
    #[must_use]
    pub fn is_known_of(self, client: &Client, way: Way) -> bool {
        match self {
            Self::Early => client.is_real(),
            Self::NotAllowed => !client.is_dotnet() || way == Way::Endpoint,
            _ => true,
        }
    }

    /// Plays it in a new world; the words stand in the table.
    ///
    /// # Errors
    /// It ended as it may for no client.
    pub async fn play(self, client: &Client, world: &World, target: &Path) -> Result<&'static str> {
        let allowed: &[_] = if self == Self::NotAllowed { &[(contract::ALLOWED_CLIENT_IDS, CHOSEN)] } else { &[] };
        if self != Self::Early {
            world.start_sidecar(allowed).await?;
        }
        match self {
            Self::Token => token(client.run(world, target, None).await?),
            Self::Chosen => token(client.run(world, target, Some(CHOSEN)).await?),
            Self::NotAllowed => refusal(client.run(world, target, Some(FOREIGN)).await?, "does not allow"),
            Self::Refused => {
                world.become_pod_of("nobody")?;
                refusal(client.run(world, target, None).await?, "AADSTS700213")
            }
            Self::Throttled => {
                world.entra.inject(Fault::answer(Endpoint::Token, 429)?.retry_after(THROTTLED_SECONDS));
                passing(client, world, target, "throttled").await
            }
            Self::DownWithToken => {
                token(client.run(world, target, None).await?)?;
                world.entra.inject(Fault::dropped(Endpoint::Token));
                token(client.run(world, target, None).await?)
            }
            Self::Down => {
                world.entra.inject(Fault::dropped(Endpoint::Token));
                passing(client, world, target, "unavailable").await
            }
            Self::Early => {
                let ready = async {
                    world.knocked().await?;
                    world.start_sidecar(&[]).await
                };
                let (outcome, ()) = try_join!(client.run(world, target, None), ready)?;
                settled(outcome, client, world, target).await
            }
        }
    }
}

/// Runs a client until it has ended and the sidecar has told somebody of the trouble, upon which that is over.
async fn passing(client: &Client, world: &World, target: &Path, trouble: &str) -> Result<&'static str> {
    let over = async {
        world.told(trouble).await?;
        world.entra.clear_faults();
        Ok(())
    };
    let (outcome, ()) = try_join!(client.run(world, target, None), over)?;
    settled(outcome, client, world, target).await
}

/// Who gave up must get a token when started anew: nothing but time mends a sidecar.
async fn settled(outcome: Outcome, client: &Client, world: &World, target: &Path) -> Result<&'static str> {
    if let Outcome::Token = outcome {
        return Ok(TOKEN);
    }
    world.recovered().await?;
    token(client.run(world, target, None).await?)?;
    Ok("error, then token")
}

fn token(outcome: Outcome) -> Result<&'static str> {
    match outcome {
        Outcome::Token => Ok(TOKEN),
        Outcome::Error(error) => bail!("no token: {error}"),
    }
}

fn refusal(outcome: Outcome, reason: &str) -> Result<&'static str> {
    match outcome {
        Outcome::Token => bail!("a token"),
        Outcome::Error(error) if error.contains(reason) => Ok("reason shown"),
        Outcome::Error(error) => {
            eprintln!("{reason} is not shown in: {error}");
            Ok("reason lost")
        }
    }
}
