//! A credential in place: what a sealed value is, once it is opened.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use crate::aws::Keys;
use crate::google::Account;
use crate::scrub::Live;
use crate::seal::{Binding, Keyring};
use crate::secret::{Secret, Unusable};
use crate::wire::Target;

/// A credential in place.
pub struct Credential {
    pub(super) id: Rc<str>,
    pub(super) target: Rc<Target>,
    pub(super) sealed: Rc<Sealed>,
    pub(super) keyring: Option<Rc<Keyring>>,
    pub(super) opened: OnceCell<Option<Opened>>,
}

/// A sealed value, and what it was sealed for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sealed {
    pub(super) binding: Binding,
    pub(super) text: String,
}

pub(super) struct Opened {
    material: Material,
    /// The forms of its secrets, shared by all that have the same ones.
    pub(super) live: OnceCell<Vec<Rc<Live>>>,
}

/// What is done with an opened value.
pub(crate) enum Material {
    /// It is what a header or a query parameter is set to.
    Value {
        /// With its prefix.
        whole: Rc<Secret>,
        /// Where the credential itself begins in it.
        bare_from: usize,
    },
    /// The same, until it ends.
    Token {
        /// `Bearer …`.
        bearer: Rc<Secret>,
        /// Since the Unix epoch.
        until: Duration,
    },
    /// It signs requests.
    Aws(Keys),
    /// It signs tokens.
    Google(Account),
}

/// What stands before a token (RFC 6750, 2.1).
const BEARER: &str = "Bearer ";

/// A token that ends, as it is sealed: the second of its end since the Unix epoch, in decimal, a line break, the token.
pub struct Token;

impl Token {
    /// The text that is sealed.
    ///
    /// # Errors
    /// [`Unusable`]: no header can carry the token.
    pub fn join(token: &[u8], until: Duration) -> Result<Secret, Unusable> {
        // Exposed to be put behind its end; the result is a secret again.
        let token = Secret::credential(token)?;
        Ok(Secret::new([format!("{}\n", until.as_secs()).as_bytes(), token.expose()].concat()))
    }

    fn split(sealed: &Secret) -> Option<(Duration, &[u8])> {
        // Exposed to be taken apart.
        let at = sealed.expose().iter().position(|byte| *byte == b'\n')?;
        let (end, token) = sealed.expose().split_at_checked(at)?;
        let seconds = std::str::from_utf8(end).ok()?.parse().ok()?;
        Some((Duration::from_secs(seconds), token.strip_prefix(b"\n")?))
    }
}

impl Material {
    /// What a target makes of an opened value, checked by the rules of every credential: too short a value would scrub
    /// innocent text, and one that no header can carry would be refused by Envoy.
    pub(crate) fn of(target: &Target, opened: &Secret) -> Result<Material, Unusable> {
        match target {
            Target::Header { prefix, .. } => {
                let bare = Secret::credential(opened.expose())?;
                let has_it = bare.expose().starts_with(prefix.as_bytes());
                Ok(value(if has_it { "" } else { prefix }, &bare))
            }
            Target::Query { .. } => Ok(value("", &Secret::credential(opened.expose())?)),
            Target::AwsV4 { .. } => Keys::parse(opened).map(Material::Aws).map_err(|error| error.unusable),
            Target::GoogleJwt { .. } => Account::parse(opened).map(Material::Google),
            Target::GoogleToken {} => {
                let (until, token) = Token::split(opened).ok_or(Unusable::NotToken)?;
                let Material::Value { whole, .. } = value(BEARER, &Secret::credential(token)?) else {
                    return Err(Unusable::NotToken);
                };
                Ok(Material::Token { bearer: whole, until })
            }
        }
    }

    /// The parts that nobody but the provider may see.
    fn secrets(&self) -> Vec<&[u8]> {
        // Exposed to whoever searches answers for them.
        match self {
            Material::Value { whole, bare_from } => {
                vec![whole.expose().get(*bare_from..).unwrap_or_default()]
            }
            Material::Token { bearer, .. } => {
                vec![bearer.expose().get(BEARER.len()..).unwrap_or_default()]
            }
            Material::Aws(keys) => keys.secrets().map(Secret::expose).collect(),
            // Its key goes nowhere, and each token is a secret of the request that it goes out with.
            Material::Google(_) => Vec::new(),
        }
    }
}

fn value(prefix: &str, bare: &Secret) -> Material {
    let mut whole = Vec::with_capacity(prefix.len() + bare.expose().len());
    whole.extend_from_slice(prefix.as_bytes());
    whole.extend_from_slice(bare.expose());
    Material::Value { whole: Rc::new(Secret::new(whole)), bare_from: prefix.len() }
}

impl Credential {
    /// `namespace/name` of the policy: telemetry's name for it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The place that it fills.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it is. `None`: it does not open, or is no credential.
    pub(crate) fn material(&self) -> Option<&Material> {
        self.opened().map(|opened| &opened.material)
    }

    pub(super) fn opened(&self) -> Option<&Opened> {
        self.opened.get_or_init(|| self.open()).as_ref()
    }

    fn open(&self) -> Option<Opened> {
        let opened = self.keyring.as_ref()?.open(&self.sealed.binding, &self.sealed.text).ok()?;
        let material = Material::of(&self.target, &opened).ok()?;
        Some(Opened { material, live: OnceCell::new() })
    }
}

impl Opened {
    /// The parts that nobody but the provider may see.
    pub(super) fn secrets(&self) -> Vec<&[u8]> {
        self.material.secrets()
    }
}

/// A value as it is to be sealed for a target: of `AwsV4` a line for each key ([`Keys::parse`]), of a token its end and
/// it ([`Token`]), of an account its parts ([`Account::join`]), else the value itself.
///
/// # Errors
/// [`Unusable`]: the filter would refuse what it opens.
pub fn sealable(target: &Target, value: &[u8]) -> Result<Secret, Unusable> {
    let secret = match target {
        Target::Header { .. } | Target::Query { .. } => Secret::credential(value)?,
        Target::AwsV4 { .. } | Target::GoogleToken {} | Target::GoogleJwt { .. } => {
            Secret::new(value.to_vec())
        }
    };
    Material::of(target, &secret).map(|_| secret)
}
