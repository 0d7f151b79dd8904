//! What a plan still needs before it is carried out: the time, and of a request that is signed the hash of its body.

use std::rc::Rc;
use std::time::Duration;

use super::{Edit, Head, Plan};
use crate::aws::{self, BodyHash, Payload, Scope};
use crate::denial::{Denial, Reason};
use crate::google::{Grant, Signer};
use crate::rules::{Credential, Material};
use crate::secret::Secret;
use crate::wire::Target;

/// What a plan needs to be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is.
    Nothing,
    /// The time.
    Time,
    /// The time, and a hash of the whole body: the request is to be held back until it has arrived.
    Body,
}

/// What is missing.
pub(super) enum Unfinished {
    /// Whether a token has ended.
    Token {
        /// Since the Unix epoch.
        until: Duration,
    },
    /// A token that an account signs.
    OwnToken { credential: Rc<Credential>, grant: Grant },
    /// A signature.
    Signature {
        credential: Rc<Credential>,
        region: String,
        payload: Payload,
        /// Whether there is a body whose hash is signed.
        hashed: bool,
    },
}

impl Plan {
    /// What [`Plan::finish`] needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self.unfinished {
            None => Needs::Nothing,
            Some(Unfinished::Signature { hashed: true, .. }) => Needs::Body,
            Some(_) => Needs::Time,
        }
    }

    /// Adds what was missing. `head` is the request as the agent sent it, `now` the time since the Unix epoch, `body`
    /// the hash of its whole body, or of nothing; `signer` signs tokens.
    ///
    /// # Errors
    /// [`Denial`]: the token has ended, or the request cannot be signed.
    pub fn finish(
        &mut self,
        head: &Head<'_>,
        now: Duration,
        body: BodyHash,
        signer: &dyn Signer,
    ) -> Result<(), Denial> {
        let added = match self.unfinished.take() {
            None => Ok(Vec::new()),
            Some(Unfinished::Token { until }) if now < until => Ok(Vec::new()),
            Some(Unfinished::Token { .. }) => Err(Reason::TokenExpired),
            Some(Unfinished::OwnToken { credential, grant }) => {
                self.own_token(&credential, &grant, now, signer)
            }
            Some(Unfinished::Signature { credential, region, payload, .. }) => {
                self.sign(head, &credential, &region, payload, now, body)
            }
        };
        let added = added.map_err(|reason| Denial { reason, route: self.route.clone() })?;
        self.edits.extend(added);
        Ok(())
    }

    fn own_token(
        &mut self,
        credential: &Credential,
        grant: &Grant,
        now: Duration,
        signer: &dyn Signer,
    ) -> Result<Vec<Edit>, Reason> {
        let Some(Material::Google(account)) = credential.material() else {
            return Err(Reason::CredentialUnsealable);
        };
        let value = account.bearer(grant, now, signer).ok_or(Reason::TokenUnavailable)?;
        // Exposed to be searched for in the answer, without its scheme.
        let token = value.expose().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        self.one_time = Some(Secret::new(token.to_vec()));
        Ok(vec![Edit::SetHeader { name: "authorization".to_owned(), value }])
    }

    fn sign(
        &mut self,
        head: &Head<'_>,
        credential: &Credential,
        region: &str,
        payload: Payload,
        now: Duration,
        body: BodyHash,
    ) -> Result<Vec<Edit>, Reason> {
        let (Target::AwsV4 { service, .. }, Some(Material::Aws(keys))) =
            (credential.target(), credential.material())
        else {
            return Err(Reason::CredentialUnsealable);
        };
        let signed = aws::sign(keys, Scope { region, service, now }, &self.upstream(head), payload, body)?;
        self.one_time = Some(signed.signature);
        let set = |(name, value): (String, Secret)| Edit::SetHeader { name, value: Rc::new(value) };
        Ok(signed.headers.into_iter().map(set).collect())
    }

    /// The request as its upstream will see it, so far.
    fn upstream<'a>(&'a self, head: &Head<'a>) -> Head<'a> {
        let set = self.edits.iter().filter_map(|edit| match edit {
            // Exposed to be signed, if it is a header that is.
            Edit::SetHeader { name, value } => Some((name.as_bytes(), value.expose())),
            Edit::RemoveHeader(_) | Edit::SetPath(_) => None,
        });
        let headers = self.kept(head).chain(set).collect();
        Head { path: self.path().unwrap_or(head.path), headers, ..*head }
    }
}
